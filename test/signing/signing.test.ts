/** O2: keys, the texts that are signed, and signature files. */
import { createHash, generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { generateKey, isSignedBy, readKey } from '../../src/signing/ed25519.ts';
import { makeSignature, parseSignature, type Signable, signatureText } from '../../src/signing/file.ts';
import { overrideMessage, rosterMessage } from '../../src/signing/messages.ts';

const NONCE = '0123456789abcdef'.repeat(2);
const once = { clusterId: 'prod', expiresAtMs: 1_790_000_000_000, nonce: NONCE };
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8');

describe('O2: Ed25519', () => {
  test('RFC 8032, section 7.1, tests 2 and 3', () => {
    const vectors = [
      [
        '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
        '72',
        '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
      ],
      [
        'fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025',
        'af82',
        '6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a',
      ],
    ] as const;
    for (const [publicKey, message, signature] of vectors) {
      expect(isSignedBy(publicKey, Buffer.from(message, 'hex'), signature)).toBe(true);
      expect(isSignedBy(publicKey, Buffer.from(`${message}00`, 'hex'), signature)).toBe(false);
    }
  });

  test('a key signs, any changed byte of the signature does not verify', () => {
    const { pem, publicKey } = generateKey();
    const key = readKey(pem);
    expect(key.publicKey).toBe(publicKey);
    const message = Buffer.from('message', 'utf8');
    const signature = key.sign(message);
    expect(isSignedBy(publicKey, message, signature)).toBe(true);
    for (let at = 0; at < 64; at++) {
      const changed = Buffer.from(signature, 'hex');
      changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
      expect(isSignedBy(publicKey, message, changed.toString('hex'))).toBe(false);
    }
    expect(isSignedBy(generateKey().publicKey, message, signature)).toBe(false);
  });

  test.each(['', 'zz', 'F'.repeat(64), 'f'.repeat(63)])('%j is no key, and verifies nothing', (publicKey) => {
    expect(isSignedBy(publicKey, new Uint8Array(), 'a'.repeat(128))).toBe(false);
  });

  test('keys of other kinds are refused with what they are', () => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 });
    expect(() => readKey(String(privateKey.export({ type: 'pkcs8', format: 'pem' })))).toThrow('its key is rsa');
    expect(() => readKey('nothing')).toThrow('no private key in PEM');
  });
});

describe('O2: what is signed', () => {
  test('an override, line by line', () => {
    const message = overrideMessage({ ...once, target: 't-42', action: 'force-rollback' });
    expect(text(message)).toBe(`quorate-override-v1\nprod\nt-42\nforce-rollback\n1790000000000\n${NONCE}`);
  });

  test('a change of the roster, by its digest', () => {
    const changes = [
      { name: 'ada', publicKey: 'a'.repeat(64) },
      { name: 'bob', publicKey: '' },
    ];
    const digest = createHash('sha256')
      .update(`[["ada","${'a'.repeat(64)}"],["bob",""]]`, 'utf8')
      .digest('hex');
    const needed = [
      [null, 'as before'],
      [0, 'rule'],
      [2, '2'],
    ] as const;
    for (const [signaturesNeeded, line] of needed) {
      expect(text(rosterMessage({ ...once, changes, signaturesNeeded }))).toBe(
        `quorate-roster-v1\nprod\n${digest}\n${line}\n1790000000000\n${NONCE}`,
      );
    }
  });

  test('every part of it matters', () => {
    const base = { ...once, target: 't', action: 'abort' } as const;
    const others = [
      { ...base, target: 'u' },
      { ...base, action: 'resume' as const },
      { ...base, clusterId: 'test' },
      { ...base, expiresAtMs: 1 },
      { ...base, nonce: 'f'.repeat(32) },
    ];
    expect(new Set([base, ...others].map((one) => text(overrideMessage(one)))).size).toBe(6);
  });
});

describe('O2: signature files', () => {
  const key = readKey(generateKey().pem);
  const override: Signable = { kind: 'override', ...once, target: 't', action: 'abort' };
  const roster: Signable = {
    kind: 'roster',
    ...once,
    changes: [{ name: 'ada', publicKey: '' }],
    signaturesNeeded: null,
  };
  const needed: Signable = { kind: 'roster', ...once, changes: [], signaturesNeeded: 2 };

  test.each([override, roster, needed])('are read as they were written', (signable) => {
    const file = makeSignature(signable, 'ada', key);
    expect(parseSignature(signatureText(file))).toEqual(file);
  });

  test.each<[string, (text: string) => string, string]>([
    ['another action', (file) => file.replace('"abort"', '"resume"'), 'altered'],
    ['another key', (file) => file.replace(key.publicKey, generateKey().publicKey), 'altered'],
    ['an unknown action', (file) => file.replace('"abort"', '"restart"'), 'neither'],
    ['another format', (file) => file.replace('signature-v1', 'signature-v2'), 'it is no quorate-signature-v1'],
    ['no nonce', (file) => file.replace('"nonce"', '"once"'), 'it lacks'],
    ['half of it', (file) => file.slice(0, 40), 'no JSON'],
    ['no object', () => 'null', 'it is no quorate-signature-v1'],
  ])('are refused with %s', (_, change, message) => {
    expect(() => parseSignature(change(signatureText(makeSignature(override, '', key))))).toThrow(message);
  });
});
