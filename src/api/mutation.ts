/** Mutations: check the request, hand it to the member, translate the outcome. */
import type { DescMethodUnary } from '@bufbuild/protobuf';
import type { RequestHeader, ResponseHeader } from '../gen/quorate/v1/common_pb.ts';
import type { CommandBody, CommandValue, SessionRef } from '../machine/types.ts';
import type { MutationOutcome, MutationRequest } from '../node/types.ts';
import type { RequestOf, ResponseOf } from '../rpc/service.ts';
import type { StatusError } from '../rpc/status.ts';
import { assert, unreachable } from '../types/assert.ts';
import type { SessionId } from '../types/ids.ts';
import { err, ok, type Result } from '../types/result.ts';
import { Check } from './check.ts';
import { type ApiContext, responseHeader } from './context.ts';
import { failure, refused, rejected } from './errors.ts';
import { streamOfCommand } from './routing.ts';
import { type Answer, type CallScope, type RawUnaryHandler, unary } from './unary.ts';

/**
 * `optional`: 0 means none. `required`: the call is about the session; its sequence may be 0. `ignored`: what the
 * header says of a session is not looked at.
 */
export type SessionUse = 'optional' | 'required' | 'ignored';

export interface MutationSpec<Method, Kind extends CommandValue['kind']> {
  readonly session: SessionUse;
  /** The command; reports to `check` what is wrong with the request. */
  readonly body: (request: RequestOf<Method>, check: Check) => CommandBody;
  /** Completes the command, or refuses it, by what can be found out only now. */
  readonly prepare?: (
    body: CommandBody,
    request: RequestOf<Method>,
    scope: CallScope,
  ) => Promise<Result<CommandBody, StatusError>>;
  /** The answer, or one of the answers, that the command gives when it is carried out. */
  readonly kind: Kind | readonly Kind[];
  /** Why an answer is an error to the caller all the same: what was carried out is the refusal. Left out: it never is. */
  readonly refusal?: (value: Extract<CommandValue, { kind: Kind }>) => StatusError | null;
  readonly answer: (header: ResponseHeader, value: Extract<CommandValue, { kind: Kind }>) => ResponseOf<Method>;
}

export function mutation<Method extends DescMethodUnary, Kind extends CommandValue['kind']>(
  context: ApiContext,
  method: Method,
  spec: MutationSpec<Method, Kind>,
): RawUnaryHandler {
  return unary(context, method, 'INDETERMINATE', async (request, scope) => {
    const check = new Check();
    const { header } = request as { readonly header?: RequestHeader };
    const startedMs = performance.now();
    const checked: MutationRequest = {
      session: sessionOf(header, spec.session, check),
      caller: check.label('header.caller', header?.caller ?? ''),
      traceId: check.label('header.trace_id', header?.traceId ?? ''),
      body: spec.body(request, check),
      client: scope.client,
    };
    const invalid = check.failure();
    if (invalid !== null) return err(invalid);
    const prepared = spec.prepare === undefined ? ok(checked.body) : await spec.prepare(checked.body, request, scope);
    if (!prepared.ok) return prepared;
    const deadlineMs = scope.deadlineMs - (spec.prepare === undefined ? 0 : performance.now() - startedMs);
    if (deadlineMs <= 0) return err(failure('DEADLINE_EXPIRED', 'the deadline passed before anything was proposed'));
    const mutationRequest = { ...checked, body: prepared.value };
    const stream = streamOfCommand(mutationRequest.body);
    return translate(context, spec, await context.member.mutate(stream, mutationRequest, deadlineMs));
  });
}

function translate<Method, Kind extends CommandValue['kind']>(
  context: ApiContext,
  spec: MutationSpec<Method, Kind>,
  outcome: MutationOutcome,
): Answer<ResponseOf<Method>> {
  switch (outcome.kind) {
    case 'applied': {
      const { result } = outcome;
      if (!result.ok) return err(rejected(result.rejection));
      const { value } = result;
      const kinds: readonly string[] = Array.isArray(spec.kind) ? spec.kind : [spec.kind];
      assert(kinds.includes(value.kind), `answer ${value.kind} to a command that answers ${kinds.join(' or ')}`);
      const answer = value as Extract<CommandValue, { kind: Kind }>;
      const refusal = spec.refusal?.(answer) ?? null;
      if (refusal !== null) return err(refusal);
      return ok(spec.answer(responseHeader(context, outcome, result.revision), answer));
    }
    case 'refused':
      return err(refused(outcome, context.addressOf));
    case 'indeterminate':
      return err(failure('INDETERMINATE', outcome.message));
    default:
      return unreachable(outcome, 'mutation outcome');
  }
}

function sessionOf(header: RequestHeader | undefined, use: SessionUse, check: Check): SessionRef | null {
  if (use === 'ignored') return null;
  if (header === undefined || header.sessionId === 0n) {
    if (use === 'required') {
      check.report('header.session_id', 'is missing; send the session_id that OpenSession answered with');
    } else if (header !== undefined && header.sequence !== 0n) {
      check.report('header.sequence', `is ${header.sequence} without a session; send session_id too, or 0 here`);
    }
    return null;
  }
  const id: SessionId = check.number<'SessionId'>('header.session_id', header.sessionId, 1);
  const sequence: number = check.number('header.sequence', header.sequence, use === 'required' ? 0 : 1);
  const ackedThrough: number = check.number('header.acked_through', header.ackedThrough, 0);
  if (sequence > 0 && ackedThrough >= sequence) {
    check.report(
      'header.acked_through',
      `is ${ackedThrough}, but the answer to request ${sequence} is only asked for; send at most ${sequence - 1}`,
    );
  }
  return { id, sequence, ackedThrough };
}
