import { describe, expect, it } from 'vitest';
import { streamOfCommand, streamOfLoop } from '../../src/api/routing.ts';
import type { CommandBody } from '../../src/machine/types.ts';
import { DATA_STREAM, fencingToken } from '../../src/types/ids.ts';
import { DATA_STREAMS, streamForKey } from '../../src/types/placement.ts';

const ref = { loop: 'deploy/eu', g: 1, phase: 'ANALYZE' };
const token = fencingToken(1);
const clock = { vectorClock: [] };
const ABOUT_A_LOOP: CommandBody[] = [
  { kind: 'createLoop', loop: ref.loop, plan: '' },
  { kind: 'beginPhase', ref, supersedeAttempt: 0, ...clock },
  { kind: 'reportProgress', ref, token, completed: 0, total: 0, note: '', subSteps: [], checkpoint: null },
  { kind: 'commitPhase', ref, token, result: '', ...clock },
  { kind: 'abortPhase', ref, token, reason: '', hardFail: false, ...clock },
];
const ABOUT_NONE: CommandBody[] = [
  { kind: 'openSession', ttlMs: 0 },
  { kind: 'keepAliveSession' },
  { kind: 'closeSession' },
  { kind: 'registerPlan', plan: 'p', phases: [] },
  { kind: 'advanceTime' },
];

describe('R8: routing', () => {
  it.each(ABOUT_A_LOOP)('$kind goes to the stream of its loop', (body) => {
    expect(streamOfCommand(body)).toBe(streamForKey(ref.loop, DATA_STREAMS));
    expect(streamOfCommand(body)).toBe(streamOfLoop(ref.loop));
  });

  it.each(ABOUT_NONE)('$kind goes to the first data stream', (body) => {
    expect(streamOfCommand(body)).toBe(DATA_STREAM);
  });
});
