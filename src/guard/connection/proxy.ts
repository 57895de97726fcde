/**
 * An object that is its target but for a few members. Methods run on the target itself, so that private
 * fields work; `instanceof`, getters and printing are the target's. A member that the target lacks, as those of
 * later versions of LanceDB, is lacking here too.
 */
export function withMembers<T extends object>(target: T, members: Partial<Record<keyof T, unknown>>): T {
  const bound = new Map<PropertyKey, unknown>();
  return new Proxy(target, {
    get(_target, key) {
      if (Object.hasOwn(members, key) && key in target) return members[key as keyof T];
      if (bound.has(key)) return bound.get(key);
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== "function" || key === "constructor") return value;
      const method = value.bind(target);
      bound.set(key, method);
      return method;
    },
  });
}
