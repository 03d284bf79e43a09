/** Short ways to say the commands of documents and of the ledger. */
import { createHash } from 'node:crypto';
import type { MachineLimits } from '../../src/machine/state.ts';
import type { CommandBody, VectorClock } from '../../src/machine/types.ts';
import { Bench, type Given, ref, token } from './kit.ts';

export const sha256 = (content: string): string => createHash('sha256').update(content).digest('hex');

type Put = Extract<CommandBody, { kind: 'putDocument' }>;
type Delete = Extract<CommandBody, { kind: 'deleteDocument' }>;
type Intent = Extract<CommandBody, { kind: 'recordIntent' }>;

export interface Writer {
  readonly phase: string;
  readonly token: number;
  readonly g?: number;
}

export const NO_CLOCK: VectorClock = [];

const writer = (by: Writer | null) =>
  by === null ? ({ ref: null, token: 0 } as const) : { ref: ref(by.phase, by.g ?? 1), token: token(by.token) };

export function putBody(
  name: string,
  expectedVersion: number,
  content: string,
  by: Writer | null = null,
  more: Partial<Put> = {},
): Put {
  return {
    kind: 'putDocument',
    loop: 'loop',
    name,
    expectedVersion,
    content,
    sha256: sha256(content),
    schema: null,
    causalFields: null,
    causalChanged: [],
    ...writer(by),
    vectorClock: NO_CLOCK,
    ...more,
  };
}

export function deleteBody(name: string, expectedVersion: number, by: Writer | null = null): Delete {
  return { kind: 'deleteDocument', loop: 'loop', name, expectedVersion, ...writer(by), vectorClock: NO_CLOCK };
}

export function intentBody(key: string, by: Writer, more: Partial<Intent> = {}): Intent {
  return {
    kind: 'recordIntent',
    ref: ref(by.phase, by.g ?? 1),
    token: token(by.token),
    key,
    description: `make ${key}`,
    compensator: { kind: 'http', target: 'http://127.0.0.1:9/undo', payload: key },
    costMicros: '0',
    limitMicros: '500000000',
    resource: '',
    operation: '',
    ...more,
  };
}

export const confirmBody = (key: string, by: Writer, result = 'made'): CommandBody => ({
  kind: 'confirmEffect',
  ref: ref(by.phase, by.g ?? 1),
  token: token(by.token),
  key,
  result,
});

export const withdrawBody = (key: string, by: Writer, reason = 'not done'): CommandBody => ({
  kind: 'withdrawEffect',
  ref: ref(by.phase, by.g ?? 1),
  token: token(by.token),
  key,
  reason,
});

/** A machine at feature level 3 with a loop. */
export class Level3 extends Bench {
  constructor(some: Partial<MachineLimits> = {}) {
    super(some);
    this.done('featureLevelSet', { kind: 'setFeatureLevel', level: 3, pinned: false });
    this.createLoop();
  }

  /** Writes from outside of any phase; returns the new version. */
  put(name: string, expectedVersion: number, content: string, by: Writer | null = null, given: Given = {}): number {
    return this.done('documentPut', putBody(name, expectedVersion, content, by), given).version;
  }

  remove(name: string, expectedVersion: number, by: Writer | null = null): number {
    return this.done('documentDeleted', deleteBody(name, expectedVersion, by)).version;
  }

  start(phase: string, supersede = 0): Writer {
    return { phase, token: this.begin(phase, { supersede }).token };
  }

  /** Newest content, null when it is deleted or was never there. */
  content(name: string): string | null {
    const row = this.machine.rows.document.get(`loop ${name}`);
    return row === null || row.deleted ? null : row.content;
  }

  version(name: string): number {
    return this.machine.rows.document.get(`loop ${name}`)?.version ?? 0;
  }
}
