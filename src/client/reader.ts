/** Reads: one call each, or page by page. */
import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { PAGE_SIZE_MAX } from '../types/limits.ts';
import type { Caller } from './caller.ts';
import { isLocal } from './convert.ts';
import type { CallOptions, ReadOptions } from './types.ts';

export interface PageRequest {
  readonly pageSize: number;
  readonly pageToken: string;
}

export class Reader {
  readonly #caller: Caller;
  readonly #deadlineMs: number;

  constructor(caller: Caller, deadlineMs: number) {
    this.#caller = caller;
    this.#deadlineMs = deadlineMs;
  }

  read<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    options: ReadOptions | undefined,
  ): Promise<MessageShape<O>> {
    return this.#caller.call({
      method,
      request: () => request,
      safety: 'read',
      inTurn: isLocal(options),
      deadlineMs: options?.deadlineMs ?? this.#deadlineMs,
      signal: options?.signal,
    });
  }

  /** A call that the leader answers and that does no harm twice. */
  repeatable<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    options: CallOptions | undefined,
  ): Promise<MessageShape<O>> {
    return this.#caller.call({
      method,
      request: () => request,
      safety: 'repeatable',
      deadlineMs: options?.deadlineMs ?? this.#deadlineMs,
      signal: options?.signal,
    });
  }

  /** All rows, asked for a page at a time; `pageSize` as given, the largest otherwise. */
  async *pages<Row>(
    load: (page: PageRequest) => Promise<{ readonly rows: readonly Row[]; readonly next: string }>,
    pageSize = PAGE_SIZE_MAX,
  ): AsyncGenerator<Row, void, undefined> {
    let pageToken = '';
    do {
      const { rows, next } = await load({ pageSize, pageToken });
      yield* rows;
      pageToken = next;
    } while (pageToken !== '');
  }
}
