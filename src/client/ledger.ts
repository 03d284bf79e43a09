/**
 * The ledger of what phases do to the outside world: say it, do it, confirm it.
 *
 * ```ts
 * const { result } = await session.ledger.effect(ref, token, {
 *   key: await client.ledger.keyFor(ref, `vm-${name}`),
 *   compensator: { kind: 'http', target: 'https://hooks.example/delete-vm', payload: name },
 *   price: { amount: '0.12' },
 * }, async (key) => (await provider.createVm(name, { idempotencyKey: key })).id);
 * ```
 */
import { type Effect as EffectMessage, EffectState, LedgerService } from '../gen/quorate/v1/ledger_pb.ts';
import { RecoveryResult, RecoveryService } from '../gen/quorate/v1/recovery_pb.ts';
import { must } from '../types/assert.ts';
import { fromConsistency, fromRef, toAnswer, toName, toNumber, toRef, toTime } from './convert.ts';
import type { Send } from './documents.ts';
import { QuorateError } from './errors.ts';
import type { Reader } from './reader.ts';
import type { MutationAnswer, MutationOptions, PhaseRef, ReadOptions } from './types.ts';

/** UNKNOWN: of a newer cluster. */
export type LedgerState = Exclude<keyof typeof EffectState, 'UNSPECIFIED'> | 'UNKNOWN';

/** Who undoes the effect. http: `target` is a URL. grpc: host:port. worker: the queue that workers claim from. */
export interface EffectCompensator {
  readonly kind: 'http' | 'grpc' | 'worker';
  readonly target: string;
  /** Handed over as it is. */
  readonly payload?: string;
}

export interface EffectPrice {
  /** Decimal number, such as 12.50. */
  readonly amount: string;
  /** ISO 4217 code; left out: that of the region. */
  readonly currency?: string;
  /** Left out: the budget's own. */
  readonly region?: string;
}

export interface EffectIntent {
  /** Idempotency key, unique within the loop: it never runs twice. */
  readonly key: string;
  readonly description?: string;
  readonly compensator: EffectCompensator;
  /** Left out: it costs nothing. */
  readonly price?: EffectPrice;
  /** What is created or deleted: work that goes back and forth is stopped. */
  readonly resource?: { readonly name: string; readonly operation: 'create' | 'delete' };
}

export interface IntentRecorded extends MutationAnswer {
  /** From 1 within the run; compensated from the highest down. */
  readonly seq: number;
  /** true: do it now. false: the key is on record; `state` and `result` say what came of it. */
  readonly fresh: boolean;
  readonly state: LedgerState;
  readonly result: string;
}

export interface EffectSettled extends MutationAnswer {
  readonly seq: number;
}

/** What {@link LedgerWrites.effect} answers with. `fresh`: the action was run by this call. */
export interface EffectDone {
  readonly seq: number;
  readonly fresh: boolean;
  readonly result: string;
}

export interface LedgerEffect {
  readonly ref: PhaseRef;
  readonly seq: number;
  readonly attempt: number;
  readonly key: string;
  readonly description: string;
  readonly compensator: Required<EffectCompensator>;
  /** Millionths of the budget's currency, decimal digits. */
  readonly costMicros: string;
  readonly resource: string;
  readonly operation: string;
  readonly state: LedgerState;
  readonly result: string;
  readonly traceId: string;
  readonly caller: string;
  readonly intentAtMs: number;
  /** null: not yet. */
  readonly settledAtMs: number | null;
  readonly changedRevision: number;
}

/** An action throws it to say that its effect did not happen, for certain: the intent is withdrawn. */
export class EffectNotDoneError extends Error {
  override readonly name = 'EffectNotDoneError';
}

/**
 * An earlier attempt has recorded the intent and was cut off: whether the effect happened is not known. Look at the outside
 * world, then `confirm` or `withdraw`; to do neither leaves it to a rollback, which compensates it.
 */
export class EffectInDoubtError extends Error {
  override readonly name = 'EffectInDoubtError';
  readonly key: string;
  readonly seq: number;

  constructor(key: string, seq: number) {
    super(`whether effect ${key} happened is not known: look, then confirm or withdraw it`);
    this.key = key;
    this.seq = seq;
  }
}

const { method } = LedgerService;

/** What changes the ledger. */
export class LedgerWrites {
  readonly #send: Send;

  constructor(send: Send) {
    this.#send = send;
  }

  /** Before the effect. Refused with COST_CAP_EXCEEDED when the trace may not go on. */
  async intent(ref: PhaseRef, token: number, intent: EffectIntent, options?: MutationOptions): Promise<IntentRecorded> {
    const { key, description = '', compensator, price, resource } = intent;
    const { kind, target, payload = '' } = compensator;
    const response = await this.#send(
      method.recordIntent,
      (header) => ({
        header,
        ref: fromRef(ref),
        fencingToken: BigInt(token),
        key,
        description,
        compensator: { kind, target, payload },
        ...(price === undefined ? {} : { price: { region: '', currency: '', ...price } }),
        resource: resource?.name ?? '',
        operation: resource?.operation ?? '',
      }),
      options,
    );
    const { seq, fresh, state, result } = response;
    const answer = toAnswer(response.header);
    return { ...answer, seq: toNumber(seq), fresh, state: toName(EffectState, state) ?? 'UNKNOWN', result };
  }

  /** After the effect. */
  async confirm(
    ref: PhaseRef,
    token: number,
    key: string,
    options?: MutationOptions & { readonly result?: string },
  ): Promise<EffectSettled> {
    const result = options?.result ?? '';
    const response = await this.#send(
      method.confirmEffect,
      (header) => ({ header, ref: fromRef(ref), fencingToken: BigInt(token), key, result }),
      options,
    );
    return { ...toAnswer(response.header), seq: toNumber(response.seq) };
  }

  /** The effect did not happen, for certain. */
  async withdraw(
    ref: PhaseRef,
    token: number,
    key: string,
    options?: MutationOptions & { readonly reason?: string },
  ): Promise<EffectSettled> {
    const reason = options?.reason ?? '';
    const response = await this.#send(
      method.withdrawEffect,
      (header) => ({ header, ref: fromRef(ref), fencingToken: BigInt(token), key, reason }),
      options,
    );
    return { ...toAnswer(response.header), seq: toNumber(response.seq) };
  }

  /**
   * Records the intent, runs `action` if the key is fresh, and confirms with what it resolves to. A key that was confirmed
   * before gives the result of then, and the action is not run. Throws {@link EffectInDoubtError} for a key that was recorded
   * and never confirmed. When the action throws, the intent stays, for it may have happened; after
   * {@link EffectNotDoneError} it is withdrawn.
   */
  async effect(
    ref: PhaseRef,
    token: number,
    intent: EffectIntent,
    action: (key: string) => Promise<string>,
    options?: MutationOptions,
  ): Promise<EffectDone> {
    const { key } = intent;
    const recorded = await this.intent(ref, token, intent, options);
    const { seq, state } = recorded;
    if (!recorded.fresh) {
      if (state !== 'CONFIRMED') throw new EffectInDoubtError(key, seq);
      return { seq, fresh: false, result: recorded.result };
    }
    let result: string;
    try {
      result = await action(key);
    } catch (error) {
      if (error instanceof EffectNotDoneError) {
        await this.withdraw(ref, token, key, { ...options, reason: error.message });
      }
      throw error;
    }
    await this.confirm(ref, token, key, { ...options, result });
    return { seq, fresh: true, result };
  }
}

/** Reads of the ledger. */
export class LedgerReader {
  readonly #reader: Reader;

  constructor(reader: Reader) {
    this.#reader = reader;
  }

  /**
   * A key for what a run does that goes by `name`: the same in every attempt that goes on where the one before was cut off, so that nothing
   * is done twice; another one once a rollback has undone what was there, since a key that is settled is never used again.
   */
  async keyFor(ref: PhaseRef, name: string, options?: ReadOptions): Promise<string> {
    return `${ref.g}/${ref.phase}/${await this.#undoneThrough(ref, options)}/${name}`;
  }

  /** The last attempt of the run whose effects were undone; 0: none were. */
  async #undoneThrough(ref: PhaseRef, options: ReadOptions | undefined): Promise<number> {
    const request = { ref: fromRef(ref), pageSize: 1, ...fromConsistency(options) };
    try {
      const { recovery } = await this.#reader.read(RecoveryService.method.getRecovery, request, options);
      return recovery?.result === RecoveryResult.ROLLED_BACK ? toNumber(recovery.attempt) : 0;
    } catch (error) {
      if (error instanceof QuorateError && error.reason === 'RECOVERY_NOT_FOUND') return 0;
      throw error;
    }
  }

  /** Effects of a run, oldest first. */
  list(ref: PhaseRef, options?: ReadOptions): AsyncGenerator<LedgerEffect, void, undefined> {
    return this.#reader.pages(async (page) => {
      const request = { ...page, ref: fromRef(ref), ...fromConsistency(options) };
      const response = await this.#reader.read(method.listEffects, request, options);
      return { rows: response.effects.map(toEffect), next: response.nextPageToken };
    });
  }
}

function toEffect(message: EffectMessage): LedgerEffect {
  const { key, description, costMicros, resource, operation, result, traceId, caller } = message;
  const { kind, target, payload } = must(message.compensator, 'a member sent an effect without its compensator');
  return {
    ref: toRef(message.ref),
    seq: toNumber(message.seq),
    attempt: toNumber(message.attempt),
    key,
    description,
    compensator: { kind: kind as EffectCompensator['kind'], target, payload },
    costMicros,
    resource,
    operation,
    state: toName(EffectState, message.state) ?? 'UNKNOWN',
    result,
    traceId,
    caller,
    intentAtMs: toNumber(message.intentAtMs),
    settledAtMs: toTime(message.settledAtMs),
    changedRevision: toNumber(message.changedRevision),
  };
}
