/** Colours that keep a contrast of 4.5 to 1 for text and 3 to 1 for marks, in light and in dark. */
export const STYLE = `
:root { color-scheme: light dark; --back: #ffffff; --panel: #f6f7f9; --text: #1b1f24; --soft: #57606a; --line: #d0d7de;
  --one: #0b62c4; --two: #b35900; --good: #1a7f37; --bad: #c2212e; }
@media (prefers-color-scheme: dark) { :root { --back: #0f1216; --panel: #181c22; --text: #e6e9ed; --soft: #9aa4af;
  --line: #363d47; --one: #6cb0ff; --two: #f0a35c; --good: #57c56d; --bad: #ff7b79; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 64rem; background: var(--back); color: var(--text);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.2rem; margin: 2.5rem 0 0.5rem; } h3 { font-size: 1rem; margin: 1rem 0 0; }
p { margin: 0.4rem 0; } .soft { color: var(--soft); } code { font-family: ui-monospace, monospace; font-size: 0.9em; overflow-wrap: anywhere; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: 0.75rem; margin: 1.25rem 0; padding: 0; }
.figures div { background: var(--panel); border-radius: 8px; padding: 0.75rem 1rem; }
.figures dt { color: var(--soft); font-size: 0.85rem; } .figures dd { margin: 0; font-size: 1.4rem; font-weight: 600; }
figure { margin: 0.5rem 0; overflow-x: auto; } .wide { min-width: 42rem; } figcaption { color: var(--soft); font-size: 0.9rem; }
svg { display: block; width: 100%; height: auto; background: var(--panel); border-radius: 8px; }
svg text { fill: var(--soft); font: 13px system-ui, sans-serif; } svg .axis { stroke: var(--line); }
svg .one { fill: var(--one); } svg .two { fill: var(--two); } svg .stroke { fill: none; stroke: var(--one); stroke-width: 2; }
svg .gone { fill: none; stroke: var(--two); stroke-width: 2; }
.small { display: grid; grid-template-columns: repeat(auto-fill, minmax(18rem, 1fr)); gap: 1rem; }
.scroll { overflow-x: auto; max-height: 24rem; } table { border-collapse: collapse; width: 100%; font-size: 0.9rem; }
caption { text-align: left; color: var(--soft); padding: 0.25rem 0; } th, td { text-align: left; padding: 0.3rem 0.75rem 0.3rem 0;
  border-bottom: 1px solid var(--line); vertical-align: top; } .number { text-align: right; font-variant-numeric: tabular-nums; }
.good { color: var(--good); } .bad { color: var(--bad); font-weight: 600; } summary { cursor: pointer; color: var(--soft); }
`;
