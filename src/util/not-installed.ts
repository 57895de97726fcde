/** Whether an `import` has failed since there is no such package: one that users install only where they need it. */
export function isNotInstalled(error: unknown): boolean {
  const { code } = (error ?? {}) as { readonly code?: unknown };
  return code === "ERR_MODULE_NOT_FOUND" || code === "MODULE_NOT_FOUND";
}
