/** Documents and effects → messages of the public API. */
import type { Document } from '../gen/quorate/v1/document_pb.ts';
import { type Effect, EffectState as EffectStateMessage } from '../gen/quorate/v1/ledger_pb.ts';
import type { PhaseRef as RefMessage } from '../gen/quorate/v1/phase_pb.ts';
import type { MachineView } from '../machine/api.ts';
import type { DocumentRow } from '../machine/document/types.ts';
import type { EffectRow, EffectState } from '../machine/ledger/types.ts';
import { clockMessage, refMessage } from './convert.ts';

const NS = 'quorate.v1';
/** Bytes of a message besides its texts. */
const MESSAGE_BYTES = 192;

/** `summary` leaves out what may be long: content, schema and causal fields. */
export function documentMessage(view: MachineView, row: DocumentRow, detail: 'full' | 'summary'): Document {
  const full = detail === 'full';
  const ref = runOf(view, row);
  return {
    $typeName: `${NS}.Document`,
    loop: row.loop,
    name: row.name,
    version: BigInt(row.version),
    deleted: row.deleted,
    content: full ? row.content : '',
    sha256: row.sha256,
    schema: full ? row.schema : '',
    causalFields: full ? causalMessages(row) : [],
    ...(ref === null ? {} : { writtenBy: ref }),
    caller: row.caller,
    changedRevision: BigInt(row.changedRevision),
    changedAtMs: BigInt(row.changedAtMs),
  };
}

function causalMessages({ causalFields, causalClocks }: DocumentRow): Document['causalFields'] {
  return causalFields.map((pointer, i) => ({
    $typeName: `${NS}.CausalField`,
    pointer,
    vectorClock: clockMessage(causalClocks[i] ?? []),
  }));
}

/** The key of a run is loop, round and position: names hold no spaces. */
function runOf(view: MachineView, { run }: DocumentRow): RefMessage | null {
  const [loop = '', g = '', position = ''] = run.split(' ');
  const phases = view.plan(view.loop(loop)?.plan ?? '')?.phases ?? [];
  const phase = phases[Number(position)];
  return run === '' || phase === undefined ? null : refMessage({ loop, g: Number(g), phase: phase.name });
}

export function documentBytes({ name, caller }: Document): number {
  return MESSAGE_BYTES + name.length + caller.length;
}

const EFFECT_STATES: Readonly<Record<EffectState, EffectStateMessage>> = {
  INTENT: EffectStateMessage.INTENT,
  CONFIRMED: EffectStateMessage.CONFIRMED,
  WITHDRAWN: EffectStateMessage.WITHDRAWN,
  COMPENSATED: EffectStateMessage.COMPENSATED,
};

export function effectStateMessage(state: EffectState | ''): EffectStateMessage {
  return state === '' ? EffectStateMessage.UNSPECIFIED : EFFECT_STATES[state];
}

export function ledgerEffectMessage(row: EffectRow): Effect {
  return {
    $typeName: `${NS}.Effect`,
    ref: refMessage(row),
    seq: BigInt(row.seq),
    attempt: BigInt(row.attempt),
    key: row.key,
    description: row.description,
    compensator: { $typeName: `${NS}.EffectCompensator`, ...row.compensator },
    costMicros: row.costMicros,
    resource: row.resource,
    operation: row.operation,
    state: effectStateMessage(row.state),
    result: row.result,
    traceId: row.traceId,
    caller: row.caller,
    intentAtMs: BigInt(row.intentAtMs),
    settledAtMs: BigInt(row.settledAtMs),
    changedRevision: BigInt(row.changedRevision),
  };
}

export function ledgerEffectBytes({ key, description, compensator, result, resource }: Effect): number {
  const hook = (compensator?.target.length ?? 0) + (compensator?.payload.length ?? 0);
  return 2 * MESSAGE_BYTES + key.length + description.length + hook + result.length + resource.length;
}
