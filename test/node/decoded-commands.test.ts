import { describe, expect, it } from 'vitest';
import type { Command } from '../../src/machine/types.ts';
import { DecodedCommands } from '../../src/node/decoded-commands.ts';
import { logIndex } from '../../src/types/ids.ts';

const command = (caller: string): Command =>
  ({ timeMs: 1, session: null, caller, traceId: '', body: { kind: 'advanceTime' } }) as Command;
const at = (index: number, payload: Uint8Array) => ({ index: logIndex(index), payload });

describe('commands of own proposals', () => {
  it('DC1: are given once, for the very bytes they were decoded from', () => {
    const decoded = new DecodedCommands();
    const payload = Uint8Array.of(1, 2, 3);
    decoded.proposed(7, payload, command('a'));
    expect(decoded.take(at(5, payload))).toBeNull();
    decoded.placed(7, logIndex(5));
    expect(decoded.take(at(5, payload))?.caller).toBe('a');
    expect(decoded.take(at(5, payload))).toBeNull();
    expect(decoded.size).toBe(0);
  });

  it('DC1: are not given for what another leader put in their place, be the bytes the same', () => {
    const decoded = new DecodedCommands();
    decoded.proposed(7, Uint8Array.of(1), command('a'));
    decoded.placed(7, logIndex(5));
    expect(decoded.take(at(5, Uint8Array.of(1)))).toBeNull();
    expect(decoded.size).toBe(0);
  });

  it('DC2: go when they are refused, displaced, or all at once', () => {
    const decoded = new DecodedCommands();
    decoded.proposed(1, Uint8Array.of(1), command('a'));
    decoded.refused(1);
    expect(decoded.size).toBe(0);
    const second = Uint8Array.of(3);
    for (const [id, payload] of [
      [2, Uint8Array.of(2)],
      [3, second],
    ] as const) {
      decoded.proposed(id, payload, command(`p${id}`));
      decoded.placed(id, logIndex(9));
    }
    expect(decoded.size).toBe(1);
    expect(decoded.take(at(9, second))?.caller).toBe('p3');
    decoded.proposed(4, Uint8Array.of(4), command('d'));
    decoded.proposed(5, Uint8Array.of(5), command('e'));
    decoded.placed(5, logIndex(10));
    decoded.forget();
    expect(decoded.size).toBe(0);
  });
});
