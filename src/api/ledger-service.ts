/** LedgerService: what phases do to the outside world (L1), and what it costs (L4). */
import { type EffectCompensator, type EffectPrice, LedgerService } from '../gen/quorate/v1/ledger_pb.ts';
import { runKey } from '../machine/keys.ts';
import type { Compensator, LedgerCommand, LedgerValue } from '../machine/ledger/types.ts';
import type { RawDefinition, ServiceShape } from '../rpc/service.ts';
import type { StatusError } from '../rpc/status.ts';
import { isAddress } from '../types/address.ts';
import {
  COMPENSATOR_PAYLOAD_LENGTH_MAX,
  COMPENSATOR_TARGET_LENGTH_MAX,
  EFFECT_DESCRIPTION_LENGTH_MAX,
  EFFECT_KEY_LENGTH_MAX,
  EFFECT_RESULT_LENGTH_MAX,
  RESOURCE_LENGTH_MAX,
} from '../types/limits.ts';
import { ok } from '../types/result.ts';
import type { Check } from './check.ts';
import type { ApiContext, Budget } from './context.ts';
import { effectStateMessage, ledgerEffectBytes, ledgerEffectMessage } from './document-convert.ts';
import { failure } from './errors.ts';
import { mutation } from './mutation.ts';
import { findRun } from './phase-service.ts';
import { boundedPage, read } from './read.ts';
import { tablePage } from './table-page.ts';
import type { RawUnaryHandler } from './unary.ts';

const { method } = LedgerService;
/** Longer than any amount that is one, in UTF-16 code units. */
const AMOUNT_LENGTH_MAX = 64;
/** In place of a price that was refused. */
const NOTHING = { costMicros: '0', limitMicros: '0' } as const;

type Handlers = { readonly [Name in keyof RawDefinition<ServiceShape<typeof LedgerService>>]: RawUnaryHandler };
type IntentCommand = Extract<LedgerCommand, { kind: 'recordIntent' }>;

export function ledgerHandlers(context: ApiContext): Handlers {
  return {
    recordIntent: recordIntent(context),
    confirmEffect: mutation(context, method.confirmEffect, {
      session: 'optional',
      body: (request, check) => ({
        kind: 'confirmEffect',
        ref: check.ref(request.ref),
        token: check.number<'FencingToken'>('fencing_token', request.fencingToken, 1),
        key: check.textNotEmpty('key', request.key, EFFECT_KEY_LENGTH_MAX),
        result: check.text('result', request.result, EFFECT_RESULT_LENGTH_MAX),
      }),
      kind: 'effectConfirmed',
      answer: (header, { seq }) => ({
        $typeName: 'quorate.v1.ConfirmEffectResponse' as const,
        header,
        seq: BigInt(seq),
      }),
    }),
    withdrawEffect: mutation(context, method.withdrawEffect, {
      session: 'optional',
      body: (request, check) => ({
        kind: 'withdrawEffect',
        ref: check.ref(request.ref),
        token: check.number<'FencingToken'>('fencing_token', request.fencingToken, 1),
        key: check.textNotEmpty('key', request.key, EFFECT_KEY_LENGTH_MAX),
        reason: check.text('reason', request.reason, EFFECT_RESULT_LENGTH_MAX),
      }),
      kind: 'effectWithdrawn',
      answer: (header, { seq }) => ({
        $typeName: 'quorate.v1.WithdrawEffectResponse' as const,
        header,
        seq: BigInt(seq),
      }),
    }),
    listEffects: read(context, method.listEffects, {
      params: (request, check) => ({ ref: check.ref(request.ref), page: check.page(request) }),
      loop: ({ ref }) => ref.loop,
      answer: (view, { ref, page }) => {
        const run = findRun(view, ref);
        if (!run.ok) return run;
        const prefix = runKey(ref.loop, ref.g, run.value.position);
        const fetch = (rows: number) => tablePage(view.rows.effect, { prefix }, page.after, rows);
        const { messages, nextPageToken } = boundedPage(fetch, page.limit, ledgerEffectMessage, ledgerEffectBytes);
        return ok({ $typeName: 'quorate.v1.ListEffectsResponse', effects: messages, nextPageToken });
      },
    }),
  };
}

function recordIntent(context: ApiContext): RawUnaryHandler {
  return mutation(context, method.recordIntent, {
    session: 'optional',
    body: (request, check): IntentCommand => ({
      kind: 'recordIntent',
      ref: check.ref(request.ref),
      token: check.number<'FencingToken'>('fencing_token', request.fencingToken, 1),
      key: check.textNotEmpty('key', request.key, EFFECT_KEY_LENGTH_MAX),
      description: check.text('description', request.description, EFFECT_DESCRIPTION_LENGTH_MAX),
      compensator: compensatorOf(request.compensator, context.allowList, check),
      ...priceOf(context.budget, request.price, check),
      resource: check.text('resource', request.resource, RESOURCE_LENGTH_MAX),
      operation: operationOf(request.operation, check),
    }),
    kind: 'intentRecorded',
    refusal: capExceeded,
    answer: (header, { seq, fresh, state, result }) => ({
      $typeName: 'quorate.v1.RecordIntentResponse' as const,
      header,
      seq: BigInt(seq),
      fresh,
      state: effectStateMessage(state),
      result,
    }),
  });
}

/** The command was carried out: people have heard of it, and the trace is stopped. For the caller it is a refusal. */
function capExceeded({ refusal, refusalDetail }: Extract<LedgerValue, { kind: 'intentRecorded' }>): StatusError | null {
  if (refusal === '') return null;
  const message = `nothing was recorded, do not do it: ${refusalDetail}; automation of the trace has stopped until the budget allows it`;
  return failure(refusal, message, { metadata: { detail: refusalDetail } });
}

/** What it may be is checked again, and to the end, by the state machine. */
function compensatorOf(
  compensator: EffectCompensator | undefined,
  allowList: ApiContext['allowList'],
  check: Check,
): Compensator {
  const { kind, target, payload } = compensator ?? { kind: '', target: '', payload: '' };
  if (kind !== 'http' && kind !== 'grpc' && kind !== 'worker') {
    const why = compensator === undefined ? 'is missing' : `is ${JSON.stringify(kind.slice(0, 32))}`;
    const field = compensator === undefined ? 'compensator' : 'compensator.kind';
    check.report(field, `${why}; send the kind http, grpc or worker, and its target`);
    return { kind: 'worker', target: '', payload: '' };
  }
  // What could not be undone must not be done.
  if (target !== '' && !isTarget(kind, target)) check.report('compensator.target', TARGETS[kind]);
  else if (allowList !== null && target !== '' && !allowList.allows(kind, target)) {
    check.report(
      'compensator.target',
      'is not among the targets that hooks.allow of this member names; name one that is',
    );
  }
  return {
    kind,
    target: check.textNotEmpty('compensator.target', target, COMPENSATOR_TARGET_LENGTH_MAX),
    payload: check.text('compensator.payload', payload, COMPENSATOR_PAYLOAD_LENGTH_MAX),
  };
}

const TARGETS: Readonly<Record<Compensator['kind'], string>> = {
  http: 'is no URL that can be called; send an http or https URL as the target',
  grpc: 'is no address that can be called; send host:port as the target',
  worker: 'is no name of a queue',
};

/** The leader can call it. Names of queues are the state machine's to judge. */
function isTarget(kind: Compensator['kind'], target: string): boolean {
  if (kind === 'worker') return true;
  return kind === 'grpc' ? isAddress(target) : URL.canParse(target) && /^https?:$/.test(new URL(target).protocol);
}

function priceOf(
  budget: Budget,
  price: EffectPrice | undefined,
  check: Check,
): Pick<IntentCommand, 'costMicros' | 'limitMicros'> {
  // Without a price it costs nothing; the limit holds all the same.
  const { region, currency, amount } = price ?? { region: '', currency: '', amount: '0' };
  check.label('price.region', region);
  check.label('price.currency', currency);
  if (!check.isLabel(region) || !check.isLabel(currency)) return NOTHING;
  // What is no amount is repeated to the caller, at no length but this.
  if (check.text('price.amount', amount, AMOUNT_LENGTH_MAX).length > AMOUNT_LENGTH_MAX) return NOTHING;
  const converted = budget.price(region, currency, amount);
  if (converted.ok) return converted.value;
  check.report('price', converted.error);
  return NOTHING;
}

function operationOf(operation: string, check: Check): IntentCommand['operation'] {
  if (operation === '' || operation === 'create' || operation === 'delete') return operation;
  check.report('operation', "is none; send create, delete or ''");
  return '';
}
