/** O2: a public key of small order is nobody's: whoever knows the mathematics can sign with it. */
import { createPublicKey, verify } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { generateKey, isSignedBy, isWeakKey } from '../../src/signing/ed25519.ts';

const P = 2n ** 255n - 19n;
const D = 37095705934669439343138083508754565189542113879843219016388785533085940283555n;

/** Canonical encodings of the eight points of small order: y is 0, 1, −1, or a root of d·y⁴ + 2y² − 1 = 0. */
const ORDER_EIGHT = 'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a';
const WEAK = [0n, 1n, P - 1n, fromHex(ORDER_EIGHT), P - fromHex(ORDER_EIGHT)].flatMap((y) => [hex(y), hex(y, 0x80)]);

function fromHex(text: string): bigint {
  return BigInt(`0x${Buffer.from(text, 'hex').reverse().toString('hex')}`);
}

function hex(y: bigint, sign = 0): string {
  const bytes = Buffer.from(y.toString(16).padStart(64, '0'), 'hex').reverse();
  bytes.writeUInt8(bytes.readUInt8(31) | sign, 31);
  return bytes.toString('hex');
}

/** As the library does it that knows nothing of weak keys. */
function plainlySigned(publicKey: string, message: Uint8Array, signature: string): boolean {
  const x = Buffer.from(publicKey, 'hex').toString('base64url');
  try {
    const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
    return verify(null, message, key, Buffer.from(signature, 'hex'));
  } catch {
    return false;
  }
}

describe('weak keys', () => {
  it('are forged with, and refused', () => {
    let forged = 0;
    for (const key of WEAK) {
      expect(isWeakKey(key)).toBe(true);
      for (let i = 0; i < 32; i += 1) {
        const message = Buffer.from(`message ${i}`);
        // R of small order, and S = 0: one of the eight fits.
        for (const r of WEAK) {
          const signature = r + '0'.repeat(64);
          if (plainlySigned(key, message, signature)) forged += 1;
          expect(isSignedBy(key, message, signature)).toBe(false);
        }
      }
    }
    expect(forged).toBeGreaterThan(0);
  });

  it('are those of small order: the list has no other', () => {
    const y = fromHex(ORDER_EIGHT);
    expect((D * y ** 4n + 2n * y ** 2n - 1n) % P).toBe(0n);
    for (const unreduced of [P, P + 1n]) expect(isWeakKey(hex(unreduced))).toBe(true);
    for (let i = 0; i < 20; i += 1) expect(isWeakKey(generateKey().publicKey)).toBe(false);
  });
});
