import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { hashAfter } from '../../src/machine/audit/chain.ts';
import { AUDIT_HASH_START, auditText } from '../../src/machine/audit/record-text.ts';
import { sha256OfAscii } from '../../src/machine/audit/sha256-ascii.ts';
import type { AuditRecord } from '../../src/machine/audit/types.ts';

const bySystem = (text: string): string => createHash('sha256').update(text, 'utf8').digest('hex');

describe('SHA-256 of ASCII texts', () => {
  it('is that of the standard, whatever the length', () => {
    // FIPS 180-4, appendix of examples.
    expect(sha256OfAscii('abc')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
    let text = '';
    for (let length = 0; length <= 600; length++) {
      expect(sha256OfAscii(text)).toBe(bySystem(text));
      text += String.fromCharCode((length * 31 + (length >>> 3)) & 0x7f);
    }
  });

  it('leaves every text with another character alone, wherever that stands', () => {
    for (const length of [0, 1, 2, 3, 54, 55, 56, 63, 64, 65, 118, 119, 120, 200]) {
      for (const other of ['\u0080', 'é', '\uffff', '\ud83d\ude00']) {
        for (const before of [0, length >> 1, length]) {
          const text = `${'x'.repeat(before)}${other}${'y'.repeat(length - before)}`;
          expect(sha256OfAscii(text)).toBeNull();
        }
      }
    }
  });

  it('does not show in the chain: records with and without other characters follow one another', () => {
    const record = (index: number, caller: string): AuditRecord =>
      ({
        index,
        timeMs: 1_700_000_000_000 + index,
        caller,
        traceId: 't',
        command: 'reportProgress',
        subject: 'loop 1 ANALYZE',
        outcome: 'OK',
        detail: '',
      }) as AuditRecord;
    const records = ['agent', 'Jürgen', 'agent', '日本語', 'x'.repeat(500)].map((caller, i) => record(i + 1, caller));
    const byHand = records.reduce((hash, one, i) => bySystem(auditText(hash, 1 + i, one)), AUDIT_HASH_START);
    expect(hashAfter({ first: 1, previousHash: AUDIT_HASH_START, records })).toBe(byHand);
  });
});
