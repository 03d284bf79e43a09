/** Page tokens: the key to go on from, as base64url. Opaque to clients, and checked when they come back. */

/** The longest key is a sub-step id: 1,024 UTF-16 code units, up to three bytes each. */
const TOKEN_LENGTH_MAX = 4_096;
const TOKEN = /^[A-Za-z0-9_-]+$/;
const utf8 = new TextDecoder('utf-8', { fatal: true });

export function pageToken(key: string | null): string {
  return key === null ? '' : Buffer.from(key, 'utf8').toString('base64url');
}

/** The key, null for the first page, or undefined when no token of ours looks like this. */
export function keyOfToken(token: string): string | null | undefined {
  if (token === '') return null;
  if (token.length > TOKEN_LENGTH_MAX || !TOKEN.test(token)) return undefined;
  const bytes = Buffer.from(token, 'base64url');
  // base64url decoding in Node forgives; ours is the one spelling.
  if (bytes.toString('base64url') !== token) return undefined;
  try {
    return utf8.decode(bytes);
  } catch {
    return undefined;
  }
}
