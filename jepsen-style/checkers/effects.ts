/**
 * Effects on the world outside: the server that carries them out counts. Each key is done at most once and undone at most once, and not under
 * an older token than was accepted before; what a client was told to be done was done, and was not undone before; and in the end the
 * ledger says of each key what became of it. O(n).
 *
 * An effect may reach the server after it was undone, when its client was slow and the server does not compare tokens. That is counted, and a
 * violation only if the client was told afterwards that all is well.
 */
import { field, type Operation, UnreadableHistory } from './operation.ts';
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
  /** Done after it was undone. */
  const late = new Map<string, Operation>();
  const newest = new Map<string, { readonly token: number; readonly source: Operation }>();
  for (const [at, record] of records.entries()) {
    if (!record.accepted) continue;
    const source = requestOf(record, at);
    const violate = (what: string, before: Operation): void => {
      violations.push({ what: `${record.key} ${what}`, operations: [before, source], stuck: [source.index] });
    };
    // Undoing is fenced by the lock of a recovery, whose tokens are others than those of the run.
    const scope = `${record.kind} ${record.scope ?? record.key}`;
    const highest = newest.get(scope);
    if (highest !== undefined && record.token < highest.token)
      violate(`accepted under token ${record.token}, after token ${highest.token}`, highest.source);
    else newest.set(scope, { token: record.token, source });
    const same = record.kind === 'do' ? done : undone;
    const before = same.get(record.key);
    if (before !== undefined) violate(record.kind === 'do' ? 'done twice' : 'undone twice', before);
    if (record.kind === 'do' && undone.has(record.key)) late.set(record.key, source);
    same.set(record.key, source);
  }
  violations.push(...unasked(operations, done, undone), ...forgotten(operations));
  let acknowledged = 0;
  for (const operation of operations) {
    const { f, key, outcome } = operation;
    if (key === null || outcome !== 'ok') continue;
    const [act, undo, after] = [done.get(key), undone.get(key), late.get(key)];
    let wrong: string | null = null;
    if (f === 'effect') {
      acknowledged += 1;
      if (act === undefined) wrong = `was acknowledged to ${operation.process}, and never done`;
      else if (after !== undefined) wrong = 'was acknowledged after it had been undone';
    } else if (f === 'ledger') wrong = contradiction(operation, act, undo);
    if (wrong === null) continue;
    const shown = [act, undo].filter((one) => one !== undefined);
    violations.push({ what: `${key} ${wrong}`, operations: [...shown, operation], stuck: [operation.index] });
  }
  const counts = countEffects(records);
  const detail =
    `${counts.done} done, ${counts.undone} undone, ${counts.refused} refused by the server; ` +
    `${acknowledged} acknowledged to clients${late.size === 0 ? '' : `; ${late.size} done after it was undone`}`;
  return verdictOf({ checker: 'exactly-once', workload }, violations, counts.done + acknowledged, detail);
}

/** Done or undone where nobody had asked for the effect, or everybody who had was told that nothing was done. */
function unasked(
  operations: readonly Operation[],
  done: ReadonlyMap<string, Operation>,
  undone: ReadonlyMap<string, Operation>,
): readonly Violation[] {
  const calls = operations.filter(({ f }) => f === 'effect');
  if (calls.length === 0) return [];
  const asked = new Set(calls.map(({ key }) => key));
  const open = new Set(calls.filter(({ outcome }) => outcome !== 'fail').map(({ key }) => key));
  const violations: Violation[] = [];
  for (const [how, requests] of [['done', done] as const, ['undone', undone] as const]) {
    for (const [key, source] of requests) {
      if (open.has(key) || (how === 'undone' && asked.has(key))) continue;
      const why = asked.has(key) ? 'although every call of it failed' : 'and nobody had asked for it';
      violations.push({ what: `${key} was ${how}, ${why}`, operations: [source], stuck: [source.index] });
    }
  }
  return violations;
}

/** Acknowledged, and not in the ledger at the end, which has older rounds of the same loop: only the oldest are not kept. */
function forgotten(operations: readonly Operation[]): readonly Violation[] {
  const placeOf = ({ result }: Operation) => ({ loop: String(field(result, 'loop')), g: Number(field(result, 'g')) });
  const onRecord = new Set<string | null>();
  const oldest = new Map<string, number>();
  for (const operation of operations.filter(({ f }) => f === 'ledger')) {
    const { loop, g } = placeOf(operation);
    onRecord.add(operation.key);
    oldest.set(loop, Math.min(g, oldest.get(loop) ?? Number.POSITIVE_INFINITY));
  }
  const isLost = (operation: Operation): boolean => {
    const { loop, g } = placeOf(operation);
    return (
      operation.outcome === 'ok' && !onRecord.has(operation.key) && g >= (oldest.get(loop) ?? Number.POSITIVE_INFINITY)
    );
  };
  return operations
    .filter((operation) => operation.f === 'effect' && isLost(operation))
    .map((operation) => ({
      what: `${operation.key} was acknowledged to ${operation.process}, and is not in the ledger`,
      operations: [operation],
      stuck: [operation.index],
    }));
}

/** What the ledger says in the end, against what the server saw. */
function contradiction(ledger: Operation, act: Operation | undefined, undo: Operation | undefined): string | null {
  const state = field(ledger.result, 'state');
  if (state === 'COMPENSATED' && undo === undefined) return 'is COMPENSATED on record, and was never undone';
  if (state !== 'CONFIRMED') return null;
  if (act === undefined) return 'is CONFIRMED on record, and was never done';
  return undo === undefined ? null : 'is CONFIRMED on record, and was undone';
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
