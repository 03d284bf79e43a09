/**
 * A client that asks one member and no other, as the clients of Jepsen do: half of what can go wrong only shows on a member that
 * is cut off or deposed, and the client library knows better than to ask that one.
 */
import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { Caller } from '../../src/client/caller.ts';
import { Channels } from '../../src/client/channels.ts';
import { Documents } from '../../src/client/documents.ts';
import { type HeaderInit, Mutations } from '../../src/client/mutations.ts';
import { Reader } from '../../src/client/reader.ts';
import { Router } from '../../src/client/router.ts';
import type { MutationOptions } from '../../src/client/types.ts';
import { CALL_MS } from './types.ts';

/** Answers of a session that the cluster is to remember; far fewer than it would. */
const ANSWERS_KEPT = 8;

class OneAddress extends Router {
  readonly #address: string;

  constructor(address: string) {
    const facts = { memberId: '', leaderAddress: null, configurationIndex: 0, members: [], removed: false };
    super([address], { ask: async () => facts, nowMs: () => performance.now(), random: Math.random });
    this.#address = address;
  }

  override async pick(): Promise<string> {
    return this.#address;
  }

  override async pickAny(): Promise<string> {
    return this.#address;
  }

  override pickInTurn(): string {
    return this.#address;
  }
}

/** Mutations as they are sent once, without a session, or with a session and sequence that the caller chose. */
class OneTry extends Mutations {
  readonly #caller: Caller;
  readonly #name: string;
  readonly #session: { readonly id: number; readonly sequence: number } | null;

  constructor(caller: Caller, name: string, session: { readonly id: number; readonly sequence: number } | null) {
    super();
    this.#caller = caller;
    this.#name = name;
    this.#session = session;
  }

  protected override send<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: (header: HeaderInit) => MessageInitShape<I>,
    options: MutationOptions | undefined,
  ): Promise<MessageShape<O>> {
    const caller = { caller: options?.caller ?? this.#name, traceId: options?.traceId ?? '' };
    const session = this.#session;
    const header: HeaderInit =
      session === null
        ? caller
        : {
            ...caller,
            sessionId: BigInt(session.id),
            sequence: BigInt(session.sequence),
            ackedThrough: BigInt(Math.max(0, session.sequence - ANSWERS_KEPT)),
          };
    return this.#caller.call({
      method,
      request: () => request(header),
      safety: 'unprotected',
      deadlineMs: options?.deadlineMs ?? CALL_MS,
      signal: options?.signal,
    });
  }
}

export class Pinned {
  readonly reader: Reader;
  readonly documents: Documents;
  /** Without a session: an unknown outcome surfaces at once. */
  readonly mutations: Mutations;
  readonly #channels = new Channels();
  readonly #caller: Caller;
  readonly #name: string;

  constructor(address: string, name: string) {
    const router = new OneAddress(address);
    this.#caller = new Caller({
      channels: this.#channels,
      router,
      nowMs: () => performance.now(),
      random: Math.random,
    });
    this.#name = name;
    this.reader = new Reader(this.#caller, CALL_MS);
    this.mutations = new OneTry(this.#caller, name, null);
    this.documents = new Documents(this.reader, this.mutations.documents);
  }

  /** Mutations under this number of the session. They are sent once: to send one again is the caller's business. */
  numbered(id: number, sequence: number): Mutations {
    return new OneTry(this.#caller, this.#name, { id, sequence });
  }

  close(): void {
    this.#channels.close();
  }
}
