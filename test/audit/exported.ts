/** A state with overrides in its audit log, made by the real machine with real keys, and the export of it. */
import { type ExportRecord, ExportWriter } from '../../src/audit/export-file.ts';
import { auditHash } from '../../src/audit/hash.ts';
import { AUDIT_HASH_START } from '../../src/machine/audit/record-text.ts';
import { auditFrom } from '../../src/machine/audit/view.ts';
import type { OverrideAction, OverrideCommand, SupervisorChange } from '../../src/machine/override/types.ts';
import { generateKey, readKey, type SigningKey } from '../../src/signing/ed25519.ts';
import { overrideMessage, rosterMessage } from '../../src/signing/messages.ts';
import { at, Bench, ref } from '../machine/kit.ts';

export const CLUSTER = 'prod';

type Override = Extract<OverrideCommand, { kind: 'override' }>;
type RosterChange = Extract<OverrideCommand, { kind: 'changeSupervisors' }>;

export class People {
  readonly #clusterId: string;
  readonly #keys = new Map<string, SigningKey>();

  constructor(clusterId = CLUSTER) {
    this.#clusterId = clusterId;
  }

  key(name: string): SigningKey {
    const known = this.#keys.get(name) ?? readKey(generateKey().pem);
    this.#keys.set(name, known);
    return known;
  }

  override(action: OverrideAction, signers: readonly string[], expiresAtMs: number, target = 'trace'): Override {
    const nonce = generateKey().publicKey.slice(0, 32);
    const message = overrideMessage({ clusterId: this.#clusterId, target, action, expiresAtMs, nonce });
    const signatures = this.#sign(message, signers);
    return { kind: 'override', target, action, expiresAtMs: at(expiresAtMs), nonce, signatures };
  }

  roster(
    changes: readonly SupervisorChange[],
    signers: readonly string[],
    expiresAtMs: number,
    signaturesNeeded: number | null = null,
  ): RosterChange {
    const nonce = generateKey().publicKey.slice(0, 32);
    const message = rosterMessage({ clusterId: this.#clusterId, changes, signaturesNeeded, expiresAtMs, nonce });
    const signatures = this.#sign(message, signers);
    return {
      kind: 'changeSupervisors',
      changes,
      signaturesNeeded,
      expiresAtMs: at(expiresAtMs),
      nonce,
      signatures,
    };
  }

  add(...names: readonly string[]): readonly SupervisorChange[] {
    return names.map((name) => ({ name, publicKey: this.key(name).publicKey }));
  }

  #sign(message: Uint8Array, signers: readonly string[]) {
    return signers.map((supervisor) => {
      const key = this.key(supervisor);
      return { supervisor, publicKey: key.publicKey, signature: key.sign(message) };
    });
  }
}

/** Two supervisors, an interrupted run, an override that is refused and one that is accepted. */
export function overridden(people = new People()): Bench {
  const bench = new Bench();
  bench.done('featureLevelSet', { kind: 'setFeatureLevel', level: 3, pinned: false });
  const soon = bench.timeMs + 60_000;
  bench.done('supervisorsChanged', people.roster(people.add('ada', 'bob', 'cyd'), [], soon));
  bench.createLoop();
  bench.begin('ANALYZE');
  const fault = { cause: 'OPERATOR', detail: 'stück "half"', faultAtMs: at(bench.timeMs) } as const;
  bench.done('phaseInterrupted', { kind: 'interruptPhase', ref: ref('ANALYZE'), attempt: 1, ...fault });
  bench.rejected(people.override('abort', ['ada'], soon));
  bench.done('overridden', people.override('abort', ['ada', 'cyd'], soon));
  bench.done('supervisorsChanged', people.roster([{ name: 'cyd', publicKey: '' }], ['ada', 'bob'], soon));
  return bench;
}

export interface Exported {
  readonly previousHash: string;
  readonly records: readonly ExportRecord[];
}

/** From position `from` on. */
export function recordsOf({ machine }: Bench, from = 1): Exported {
  let hash = AUDIT_HASH_START;
  let previousHash = hash;
  const records: ExportRecord[] = [];
  for (const block of auditFrom(machine, 1).blocks) {
    for (const [i, record] of block.records.entries()) {
      const position = block.first + i;
      hash = auditHash(hash, position, record);
      if (position < from) previousHash = hash;
      else records.push({ ...record, position, hash });
    }
  }
  return { previousHash, records };
}

export function fileOf({ previousHash, records }: Exported, from = 1, clusterId = CLUSTER): Buffer {
  const writer = new ExportWriter();
  const begin = writer.begin({ clusterId, firstPosition: from, previousHash });
  return Buffer.concat([begin, writer.add(records), writer.end().bytes]);
}
