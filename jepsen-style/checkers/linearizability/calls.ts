/** Operations of a history as calls of a model. */
import { type Operation, UnreadableHistory } from '../operation.ts';
import type { ListModel, ListOp, RegisterModel, RegisterOp, TextOp } from './model.ts';
import type { Call } from './search.ts';

/** How to read what the recorder left open. */
export interface Reading {
  /** A `cas` that failed saw another value; false: it was not carried out. */
  readonly failedCas: (operation: Operation) => boolean;
  /** A read that says null does not know. */
  readonly nullReadIsUnknown: boolean;
}

/** The runner's own: a `cas` that was refused because of the value says so in its error. Whatever else failed was not carried out. */
export const OWN_READING: Reading = {
  failedCas: ({ error }) => error === 'VERSION_MISMATCH',
  nullReadIsUnknown: false,
};

export interface OperationCall<Op> extends Call<Op> {
  readonly operation: Operation;
}

export function registerCalls(
  model: RegisterModel,
  operations: readonly Operation[],
  reading: Reading = OWN_READING,
): readonly OperationCall<RegisterOp>[] {
  return callsOf(operations, (operation) => registerOpOf(model, operation, reading));
}

function registerOpOf(model: RegisterModel, operation: Operation, reading: Reading): RegisterOp | null {
  const { f, value, result, outcome } = operation;
  switch (f) {
    case 'read':
      if (outcome !== 'ok') return null;
      if ((result ?? null) === null && reading.nullReadIsUnknown) return { kind: 'read', value: null };
      return { kind: 'read', value: model.valueOf(result) };
    case 'write':
      return outcome === 'fail' ? null : { kind: 'write', value: model.valueOf(value) };
    case 'cas': {
      if (!Array.isArray(value) || value.length !== 2) throw strange(operation);
      if (outcome === 'fail' && !reading.failedCas(operation)) return null;
      const ok = outcome === 'info' ? null : outcome === 'ok';
      return { kind: 'cas', from: model.valueOf(value[0]), to: model.valueOf(value[1]), ok };
    }
    default:
      throw strange(operation);
  }
}

export function textCalls(operations: readonly Operation[]): readonly OperationCall<TextOp>[] {
  return callsOf(operations, ({ f, value, result, outcome }): TextOp | null => {
    if (outcome === 'fail' || (f === 'get' && outcome !== 'ok')) return null;
    if (f === 'get') return { kind: 'get', value: String(result ?? '') };
    return { kind: f === 'put' ? 'put' : 'append', value: String(value ?? '') };
  });
}

export function listCalls(model: ListModel, operations: readonly Operation[]): readonly OperationCall<ListOp>[] {
  return callsOf(operations, (operation): ListOp | null => {
    const { f, value, result, outcome } = operation;
    if (outcome === 'fail' || (f === 'read' && outcome !== 'ok')) return null;
    if (f === 'append') return { kind: 'append', element: model.elementOf(value) };
    if (f !== 'read' || !Array.isArray(result ?? [])) throw strange(operation);
    return { kind: 'read', list: model.listOf((result ?? []) as readonly unknown[]) };
  });
}

/** `opOf` null: the operation says nothing about the object. */
function callsOf<Op>(
  operations: readonly Operation[],
  opOf: (operation: Operation) => Op | null,
): readonly OperationCall<Op>[] {
  const calls: OperationCall<Op>[] = [];
  for (const operation of operations) {
    const op = opOf(operation);
    if (op !== null) calls.push({ op, calledAt: operation.index, returnedAt: operation.endIndex, operation });
  }
  return calls;
}

function strange({ index, f, value, result }: Operation): UnreadableHistory {
  return new UnreadableHistory(`index ${index}: ${f} ${JSON.stringify(value)} → ${JSON.stringify(result)}`);
}
