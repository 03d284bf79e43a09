/** Ed25519 keys and signatures (RFC 8032) as text: raw bytes in lower-case hexadecimal digits. */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto';

const PUBLIC_KEY = /^[0-9a-f]{64}$/;
const SIGNATURE = /^[0-9a-f]{128}$/;
/**
 * Points of small order, the sign of x left out: with one of them as the key, signatures of any text can be made without a private
 * key (RFC 8032, section 8.4; the same list as in libsodium, non-canonical forms included).
 */
const SMALL_ORDER: ReadonlySet<string> = new Set([
  '00'.repeat(32),
  `01${'00'.repeat(31)}`,
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  `ec${'ff'.repeat(30)}7f`,
  `ed${'ff'.repeat(30)}7f`,
  `ee${'ff'.repeat(30)}7f`,
]);

export interface SigningKey {
  /** 64 hexadecimal digits. */
  readonly publicKey: string;
  /** 128 hexadecimal digits. */
  sign(message: Uint8Array): string;
}

/** What is wrong with a key file, in a sentence without its name. */
export class KeyError extends Error {
  override readonly name = 'KeyError';
}

/** A new private key as PEM (PKCS #8), and its public key. */
export function generateKey(): { readonly pem: string; readonly publicKey: string } {
  const { privateKey } = generateKeyPairSync('ed25519');
  return { pem: String(privateKey.export({ type: 'pkcs8', format: 'pem' })), publicKey: publicKeyOf(privateKey) };
}

/** Reads a private key in PEM. Throws {@link KeyError}. */
export function readKey(pem: string): SigningKey {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch (cause) {
    throw new KeyError('it holds no private key in PEM without a passphrase; make one with quorate sign keygen', {
      cause,
    });
  }
  if (key.asymmetricKeyType !== 'ed25519') {
    throw new KeyError(`its key is ${key.asymmetricKeyType ?? 'of another kind'}; an Ed25519 key is needed`);
  }
  return {
    publicKey: publicKeyOf(key),
    sign: (message) => sign(null, message, key).toString('hex'),
  };
}

/** True for a key with which anybody can sign. */
export function isWeakKey(publicKey: string): boolean {
  const last = Number.parseInt(publicKey.slice(62), 16) & 0x7f;
  return SMALL_ORDER.has(publicKey.slice(0, 62) + last.toString(16).padStart(2, '0'));
}

/** False also for what is no public key, a weak one, or no signature. */
export function isSignedBy(publicKey: string, message: Uint8Array, signature: string): boolean {
  if (!PUBLIC_KEY.test(publicKey) || isWeakKey(publicKey) || !SIGNATURE.test(signature)) return false;
  try {
    const x = Buffer.from(publicKey, 'hex').toString('base64url');
    const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
    return verify(null, message, key, Buffer.from(signature, 'hex'));
  } catch {
    // 32 bytes that are no point of the curve.
    return false;
  }
}

function publicKeyOf(privateKey: KeyObject): string {
  const { x } = createPublicKey(privateKey).export({ format: 'jwk' });
  return Buffer.from(String(x), 'base64url').toString('hex');
}
