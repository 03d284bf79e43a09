/**
 * Effects on the world outside: the server that carries them out counts. Each key is done at most once and undone at most once, never done
 * after it was undone, never under a token older than one that was accepted before; and what a client was told to be done was. O(n).
 */
import { type Operation, UnreadableHistory } from './operation.ts';
import { type Verdict, type Violation, verdictOf } from './verdict.ts';

/** One request to the server, in the order of their arrival. `accepted`: it had an effect. */
export interface EffectRecord {
  /** Nanoseconds since the run began. */
  readonly time: number;
  readonly key: string;
  readonly token: number;
  readonly attempt: number;
  readonly accepted: boolean;
  readonly kind: 'do' | 'undo';
  /** What the token fences; without it the key. */
  readonly scope?: string;
}

export function effectRecordOf(value: unknown): EffectRecord {
  const record = value as EffectRecord;
  const good =
    typeof value === 'object' &&
    value !== null &&
    Number.isFinite(record.time) &&
    typeof record.key === 'string' &&
    typeof record.accepted === 'boolean' &&
    Number.isFinite(record.token) &&
    (record.kind === 'do' || record.kind === 'undo');
  if (!good) throw new UnreadableHistory(`no record of an effect: ${JSON.stringify(value).slice(0, 200)}`);
  return record;
}

export interface EffectCounts {
  readonly done: number;
  readonly undone: number;
  readonly refused: number;
  /** Effects beyond the first of their key. */
  readonly duplicates: number;
}

export function countEffects(records: readonly EffectRecord[]): EffectCounts {
  const accepted = records.filter((record) => record.accepted);
  const distinct = new Set(accepted.map(({ kind, key }) => `${kind} ${key}`));
  return {
    done: accepted.filter(({ kind }) => kind === 'do').length,
    undone: accepted.filter(({ kind }) => kind === 'undo').length,
    refused: records.length - accepted.length,
    duplicates: accepted.length - distinct.size,
  };
}

export function checkEffects(
  records: readonly EffectRecord[],
  operations: readonly Operation[],
  workload: string,
): Verdict {
  const violations: Violation[] = [];
  const done = new Map<string, Operation>();
  const undone = new Map<string, Operation>();
  const newest = new Map<string, { readonly token: number; readonly source: Operation }>();
  for (const [at, record] of records.entries()) {
    if (!record.accepted) continue;
    const source = requestOf(record, at);
    const violate = (what: string, before: Operation): void => {
      violations.push({ what: `${record.key} ${what}`, operations: [before, source], stuck: [source.index] });
    };
    const scope = record.scope ?? record.key;
    const highest = newest.get(scope);
    if (highest !== undefined && record.token < highest.token)
      violate(`accepted under token ${record.token}, after token ${highest.token}`, highest.source);
    else newest.set(scope, { token: record.token, source });
    const same = record.kind === 'do' ? done : undone;
    const before = same.get(record.key);
    if (before !== undefined) violate(record.kind === 'do' ? 'done twice' : 'undone twice', before);
    const end = undone.get(record.key);
    if (record.kind === 'do' && end !== undefined) violate('done after it was undone', end);
    same.set(record.key, source);
  }
  let acknowledged = 0;
  for (const operation of operations) {
    if (operation.f !== 'effect' || operation.outcome !== 'ok' || operation.key === null) continue;
    acknowledged += 1;
    if (done.has(operation.key)) continue;
    const what = `${operation.key} was acknowledged to ${operation.process}, and never done`;
    violations.push({ what, operations: [operation], stuck: [operation.index] });
  }
  const counts = countEffects(records);
  const detail =
    `${counts.done} done, ${counts.undone} undone, ${counts.refused} refused by the server; ` +
    `${acknowledged} acknowledged to clients`;
  return verdictOf({ checker: 'exactly-once', workload }, violations, counts.done + acknowledged, detail);
}

/** The request as an operation of no length by the server's process, so that it can be drawn. */
function requestOf({ key, kind, token, attempt, time }: EffectRecord, at: number): Operation {
  const value = { token, attempt };
  return {
    index: at,
    endIndex: at,
    process: `server, ${kind}`,
    f: kind,
    key,
    value,
    result: value,
    outcome: 'ok',
    calledNs: time,
    returnedNs: time,
    error: null,
  };
}
