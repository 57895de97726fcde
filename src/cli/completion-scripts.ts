/** What each shell is told: to ask the command itself, by `__complete`, which answers a candidate a line. */
export const COMPLETION_SCRIPTS = {
  bash: `# bash completion for lancedb-backup: source <(lancedb-backup completion bash)
_lancedb_backup() {
  local line current="\${COMP_WORDS[COMP_CWORD]}"
  COMPREPLY=()
  while IFS= read -r line; do
    if [[ "$line" == ":directories" ]]; then
      compopt -o filenames 2>/dev/null
      while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -d -- "$current")
    else
      COMPREPLY+=("\${line%%$'\\t'*}")
    fi
  done < <(lancedb-backup __complete "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _lancedb_backup lancedb-backup
`,
  zsh: `#compdef lancedb-backup
# zsh completion for lancedb-backup: source <(lancedb-backup completion zsh)
_lancedb_backup() {
  local line
  local -a candidates
  while IFS= read -r line; do
    if [[ "$line" == ":directories" ]]; then
      _files -/
    else
      candidates+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
    fi
  done < <(lancedb-backup __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)
  (( $#candidates )) && _describe -V 'lancedb-backup' candidates
}
compdef _lancedb_backup lancedb-backup
`,
  fish: `# fish completion for lancedb-backup: lancedb-backup completion fish | source
function __lancedb_backup_complete
    set -l before (commandline -opc)
    set -l current (commandline -ct)
    for line in (lancedb-backup __complete $before[2..-1] "$current" 2>/dev/null)
        if test "$line" = ":directories"
            __fish_complete_directories "$current"
        else
            echo $line
        end
    end
end
complete -c lancedb-backup -f -a '(__lancedb_backup_complete)'
`,
} as const;
