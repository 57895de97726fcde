/** Parameters of an address that are secrets: `password`, libpq's `sslpassword`, and what others call theirs. */
const SECRET = /pass(word|wd|phrase)?$|^pwd$|secret|token/i;

const ADDRESS = /^([a-z][a-z0-9+.-]+:)(\/\/)?([\s\S]*)$/i;
/** `host:5432/db?user=me@corp`: an `@` that ends no user. */
const NO_USER = /^(\[[^\]]*\]|[^@:/?#]*)(:\d+)?(\/[^@?#]*)?\?[^@=]+=[^@]*$/;

/**
 * An address without the password that it may hold, to be shown and stored: in the user's part, and in the parameters. What is no address
 * stays as it is. Where it is not well formed, as by a password whose `@` or `/` is not written `%40` or `%2F`, rather more is taken out.
 *
 * @example
 * ```ts
 * withoutPassword("postgresql://me:secret@db/shop"); // "postgresql://me@db/shop"
 * ```
 */
export function withoutPassword(url: string): string {
  const [, scheme, slashes = "", rest] = ADDRESS.exec(url) ?? [];
  if (scheme === undefined || rest === undefined) return url;
  const place = slashes === "" ? rest : withoutUsersPassword(rest);
  return `${scheme}${slashes}${withoutSecretParameters(place)}`;
}

function withoutUsersPassword(rest: string): string {
  const end = rest.lastIndexOf("@");
  const user = rest.slice(0, Math.max(end, 0));
  const colon = user.indexOf(":");
  if (colon < 0 || NO_USER.test(user)) return rest;
  return `${user.slice(0, colon)}${rest.slice(end)}`;
}

function withoutSecretParameters(place: string): string {
  const start = place.indexOf("?");
  if (start < 0) return place;
  const [query = "", ...fragment] = place.slice(start + 1).split("#");
  const kept = query.split("&").filter((parameter) => !SECRET.test(nameOf(parameter)));
  const end = fragment.length > 0 ? `#${fragment.join("#")}` : "";
  return `${place.slice(0, start)}${kept.length > 0 ? `?${kept.join("&")}` : ""}${end}`;
}

function nameOf(parameter: string): string {
  const [name = ""] = parameter.split("=");
  try {
    return decodeURIComponent(name);
  } catch {
    return name; // not well encoded: as it stands
  }
}
