/** Ed25519 keys and signatures (RFC 8032) as text: raw bytes in lower-case hexadecimal digits. */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto';

const PUBLIC_KEY = /^[0-9a-f]{64}$/;
const SIGNATURE = /^[0-9a-f]{128}$/;

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

/** False also for what is no public key or no signature. */
export function isSignedBy(publicKey: string, message: Uint8Array, signature: string): boolean {
  if (!PUBLIC_KEY.test(publicKey) || !SIGNATURE.test(signature)) return false;
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
