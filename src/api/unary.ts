/**
 * The frame around every unary call: metadata limit, decoding, deadline, encoding, and the last resort for bugs.
 * On the hot path: nothing is logged, and an answer costs one promise and one encoding.
 */
import type { DescMethod, DescMethodUnary } from '@bufbuild/protobuf';
import type { Metadata, sendUnaryData } from '@grpc/grpc-js';
import { decodeKnown, encodeMessage, type RequestOf, type ResponseOf } from '../rpc/service.ts';
import type { StatusError } from '../rpc/status.ts';
import { CALL_DEADLINE_DEFAULT_MS, CALL_DEADLINE_MAX_MS, METADATA_BYTES_MAX } from '../types/limits.ts';
import { err, ok, type Result } from '../types/result.ts';
import type { ApiContext } from './context.ts';
import { failure } from './errors.ts';
import { wireFault } from './wire.ts';

export type Answer<Response> = Result<Response, StatusError>;

export interface CallScope {
  /** Time left for the member, milliseconds, above 0. */
  readonly deadlineMs: number;
  /** Its connection: whose share of the member's room it takes (A5). */
  readonly client: string;
  /** The client has gone; nobody waits for the answer. */
  cancelled(): boolean;
}

export type UnaryHandler<Request, Response> = (
  request: Request,
  scope: CallScope,
) => Answer<Response> | Promise<Answer<Response>>;

/** What a handler needs of a call, which is one of grpc-js or one in a pipeline. */
export interface UnaryCall {
  readonly request: Buffer;
  /** null: it was looked at already, as that of the pipeline. */
  readonly metadata: Metadata | null;
  readonly cancelled: boolean;
  /** As in grpc-js: Unix time in milliseconds, Infinity for none. */
  getDeadline(): Date | number;
  /** The other end of its connection, as address and port. */
  getPeer(): string;
}

/** What grpc-js calls, too. */
export type RawUnaryHandler = (call: UnaryCall, callback: sendUnaryData<Buffer>) => void;

/** Part of the time left that is kept back, so that the answer gets home before the client gives up. */
const ANSWER_SHARE = 0.1;
const ANSWER_MS_MAX = 50;

/** `onBug` is the reason to answer with when the handler throws: INDETERMINATE where it may have changed something. */
export function unary<Method extends DescMethodUnary>(
  context: ApiContext,
  method: Method,
  onBug: 'INDETERMINATE' | 'INTERNAL',
  handler: UnaryHandler<RequestOf<Method>, ResponseOf<Method>>,
): RawUnaryHandler {
  return (call, callback) => {
    const request = admit(method, call);
    if (!request.ok) {
      callback(request.error);
      return;
    }
    const finish = (answer: Answer<ResponseOf<Method>>): void => {
      if (answer.ok) callback(null, encodeMessage(method.output, answer.value));
      else callback(answer.error);
    };
    const bug = (error: unknown): void => {
      context.logger.error({ err: error, method: method.name }, 'a handler failed: this is a bug');
      callback(failure(onBug, `an internal error in ${method.name}; the log of member ${context.memberId} has it`));
    };
    try {
      const answer = handler(request.value.request, request.value.scope);
      if (answer instanceof Promise) answer.then(finish).catch(bug);
      else finish(answer);
    } catch (error) {
      bug(error);
    }
  };
}

interface Admitted<Request> {
  readonly request: Request;
  readonly scope: CallScope;
}

function admit<Method extends DescMethodUnary>(
  method: Method,
  call: UnaryCall,
): Result<Admitted<RequestOf<Method>>, StatusError> {
  const tooLarge = call.metadata === null ? null : checkMetadata(call.metadata);
  if (tooLarge !== null) return err(tooLarge);
  const deadlineMs = timeLeft(call.getDeadline());
  if (deadlineMs === null) {
    return err(failure('DEADLINE_EXPIRED', 'the deadline had passed when the call arrived; nothing was proposed'));
  }
  const request = decodeRequest(method, call.request);
  if (!request.ok) return request;
  return ok({ request: request.value, scope: { deadlineMs, client: call.getPeer(), cancelled: () => call.cancelled } });
}

/** Bytes that are no such message are the caller's mistake: grpc-js would call them INTERNAL. */
export function decodeRequest<Method extends Pick<DescMethod, 'input' | 'name'>>(
  method: Method,
  bytes: Buffer,
): Result<RequestOf<Method>, StatusError> {
  let why: string;
  try {
    const fault = wireFault(method.input, bytes);
    if (fault === null) return ok(decodeKnown(method.input, bytes) as RequestOf<Method>);
    why = fault;
  } catch (error) {
    why = error instanceof Error ? error.message : String(error);
  }
  const message = `the request is not a ${method.input.typeName} (${why}); generate the client from proto/quorate/v1`;
  return err(failure('INVALID_ARGUMENT', message));
}

/** Counted as HTTP/2 counts: name, value and 32 for each. */
export function checkMetadata(metadata: Metadata): StatusError | null {
  let bytes = 0;
  // The values as they are; getMap would copy them.
  const values = metadata.toJSON();
  for (const key in values) for (const value of values[key] ?? []) bytes += key.length + value.length + 32;
  if (bytes <= METADATA_BYTES_MAX) return null;
  return failure('TOO_LARGE', `the call carries ${bytes} bytes of metadata; send at most ${METADATA_BYTES_MAX}`);
}

/** Milliseconds for the member, or null when the deadline has passed. */
export function timeLeft(deadline: Date | number): number | null {
  const atMs = typeof deadline === 'number' ? deadline : deadline.getTime();
  if (atMs === Number.POSITIVE_INFINITY) return CALL_DEADLINE_DEFAULT_MS;
  const leftMs = atMs - Date.now();
  // Not a number: an invalid date. Refused like one that has passed.
  if (!(leftMs > 0)) return null;
  return Math.min(leftMs - Math.min(ANSWER_MS_MAX, leftMs * ANSWER_SHARE), CALL_DEADLINE_MAX_MS);
}
