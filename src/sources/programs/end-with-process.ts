const endings = new Set<() => void>();

function endAll(): void {
  for (const end of endings) {
    try {
      end();
    } catch {
      // The others are to be ended all the same, and nobody is left to be told.
    }
  }
}

/** Ends a program where this process leaves at once. Answers with what is to be called when it has ended. */
export function endWithProcess(end: () => void): () => void {
  if (endings.size === 0) process.on("exit", endAll);
  endings.add(end);
  return () => {
    if (endings.delete(end) && endings.size === 0) process.off("exit", endAll);
  };
}
