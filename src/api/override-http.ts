/**
 * `POST /override/<trace_id>` (O1): the same as OverrideService.Override for those who have no gRPC. The body is JSON:
 *
 *   {"action": "resume", "expiresAtMs": 1790000000000, "nonce": "…",
 *    "signatures": [{"supervisor": "ada", "publicKey": "…", "signature": "…"}], "caller": "optional"}
 *
 * The answer is JSON, too: the revision and how many recoveries were moved, or `error` with reason, message and details. An override is
 * carried out once, so that after an answer that got lost it may be sent again: OVERRIDE_REPLAYED says that the first try did it.
 */
import { status as Code } from '@grpc/grpc-js';
import { OVERRIDE_ACTIONS, type OverrideCommand, type Signature } from '../machine/override/types.ts';
import { parseStatus, type StatusError } from '../rpc/status.ts';
import { CALL_DEADLINE_DEFAULT_MS, CLUSTER_TIME_MAX_MS, SUPERVISORS_MAX } from '../types/limits.ts';
import { Check } from './check.ts';
import type { ApiContext } from './context.ts';
import { failure, refused, rejected } from './errors.ts';
import { targetOf } from './override-service.ts';
import { streamOfCommand } from './routing.ts';
import { checkSigned, nonceOf, signaturesOf } from './signatures.ts';

export interface JsonAnswer {
  readonly status: number;
  readonly body: string;
  readonly type: 'application/json';
}

/** `bytes`: the body of the request. Never rejects but for a bug. */
export type HttpOverride = (traceId: string, bytes: Uint8Array) => Promise<JsonAnswer>;

/** JSON can hold half a character, a command cannot. */
const LONE_SURROGATE = /\p{Surrogate}/gu;

const HTTP_STATUS: Partial<Record<Code, number>> = {
  [Code.INVALID_ARGUMENT]: 400,
  [Code.PERMISSION_DENIED]: 403,
  [Code.NOT_FOUND]: 404,
  [Code.FAILED_PRECONDITION]: 409,
  [Code.ABORTED]: 409,
  [Code.RESOURCE_EXHAUSTED]: 429,
  [Code.UNAVAILABLE]: 503,
  [Code.DEADLINE_EXCEEDED]: 504,
};

export function httpOverride(context: ApiContext): HttpOverride {
  return async (traceId, bytes) => {
    const fields = objectOf(bytes);
    if (fields === null)
      return failed(failure('INVALID_ARGUMENT', 'the body is no JSON object; see docs/overrides.md'));
    const check = new Check();
    const caller = check.label('caller', textOf(fields.caller).replaceAll(LONE_SURROGATE, '?'));
    const body = commandOf(traceId, fields, check);
    const invalid = check.failure();
    if (invalid !== null) return failed(invalid);
    const signed = checkSigned(context, body);
    if (!signed.ok) return failed(signed.error);
    const request = { session: null, caller, traceId: body.target, body };
    const outcome = await context.member.mutate(streamOfCommand(body), request, CALL_DEADLINE_DEFAULT_MS);
    if (outcome.kind === 'refused') return failed(refused(outcome, context.addressOf));
    if (outcome.kind === 'indeterminate') return failed(failure('INDETERMINATE', outcome.message));
    const { result } = outcome;
    if (!result.ok) return failed(rejected(result.rejection));
    const recoveries = result.value.kind === 'overridden' ? result.value.recoveries : 0;
    return answer(200, { revision: result.revision, recoveries });
  };
}

function commandOf(
  traceId: string,
  fields: Readonly<Record<string, unknown>>,
  check: Check,
): Extract<OverrideCommand, { kind: 'override' }> {
  const { expiresAtMs, nonce, signatures } = fields;
  const action = OVERRIDE_ACTIONS.find((one) => one === fields.action);
  if (action === undefined) check.report('action', `is not known; send ${OVERRIDE_ACTIONS.join(', ')}`);
  const expiry = Number.isSafeInteger(expiresAtMs) ? BigInt(expiresAtMs as number) : 0n;
  if (!Array.isArray(signatures)) check.report('signatures', 'is missing; send a list');
  const given: readonly unknown[] = Array.isArray(signatures) ? signatures.slice(0, SUPERVISORS_MAX + 1) : [];
  return {
    kind: 'override',
    target: targetOf(traceId, check),
    action: action ?? 'resume',
    expiresAtMs: check.number<'ClusterTimeMs'>('expiresAtMs', expiry, 1, CLUSTER_TIME_MAX_MS),
    nonce: nonceOf(textOf(nonce), check),
    signatures: signaturesOf(given.map(signatureOf), 1, check),
  };
}

function signatureOf(value: unknown): Signature {
  const fields = (typeof value === 'object' && value !== null ? value : {}) as Readonly<Record<string, unknown>>;
  const { supervisor, publicKey, signature } = fields;
  return { supervisor: textOf(supervisor), publicKey: textOf(publicKey), signature: textOf(signature) };
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** null: no JSON object in UTF-8. */
function objectOf(bytes: Uint8Array): Readonly<Record<string, unknown>> | null {
  try {
    const json: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    return typeof json === 'object' && json !== null ? (json as Readonly<Record<string, unknown>>) : null;
  } catch {
    return null;
  }
}

function failed(error: StatusError): JsonAnswer {
  const { code, reason, message, metadata, retryAfterMs } = parseStatus(error);
  return answer(HTTP_STATUS[code] ?? 500, { error: { reason, message, details: metadata, retryAfterMs } });
}

function answer(status: number, body: object): JsonAnswer {
  return { status, body: `${JSON.stringify(body)}\n`, type: 'application/json' };
}
