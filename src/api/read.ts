/** Reads: a view to answer from, and pages that stay within a message. */
import type { DescMethodUnary } from '@bufbuild/protobuf';
import { ReadConsistency } from '../gen/quorate/v1/common_pb.ts';
import type { MachineView, Page } from '../machine/api.ts';
import type { ReadConsistency as Consistency } from '../node/types.ts';
import type { RequestOf, ResponseOf } from '../rpc/service.ts';
import type { StatusError } from '../rpc/status.ts';
import { must } from '../types/assert.ts';
import { DATA_STREAM, type StreamId } from '../types/ids.ts';
import { PAGE_BYTES_MAX } from '../types/limits.ts';
import { err, ok, type Result } from '../types/result.ts';
import { Check } from './check.ts';
import type { ApiContext } from './context.ts';
import { failure, memberRemoved, refused } from './errors.ts';
import { pageToken } from './page-token.ts';
import { streamOfLoop } from './routing.ts';
import { type Answer, type CallScope, type RawUnaryHandler, unary } from './unary.ts';

/** A read whose request is `Params` once it has been checked. */
export interface ReadSpec<Method, Params> {
  /** Reports to `check` what is wrong with the request. */
  readonly params: (request: RequestOf<Method>, check: Check) => Params;
  /** The loop that it is about, whose stream answers; left out: the first data stream answers. */
  readonly loop?: (params: Params) => string;
  readonly answer: (view: MachineView, params: Params) => Answer<ResponseOf<Method>>;
}

export function read<Method extends DescMethodUnary, Params>(
  context: ApiContext,
  method: Method,
  spec: ReadSpec<Method, Params>,
): RawUnaryHandler {
  return unary(context, method, 'INTERNAL', async (request, scope) => {
    const check = new Check();
    const consistency = consistencyOf(request, check);
    const params = spec.params(request, check);
    const invalid = check.failure();
    if (invalid !== null) return err(invalid);
    const stream = spec.loop === undefined ? DATA_STREAM : streamOfLoop(spec.loop(params));
    const view = await viewFor(context, stream, consistency, scope);
    return view.ok ? spec.answer(view.value, params) : view;
  });
}

/** How fresh; null: whatever the member has applied. */
function consistencyOf(request: object, check: Check): Consistency | null {
  const { consistency, maxStalenessMs = 0n } = request as {
    readonly consistency?: ReadConsistency;
    readonly maxStalenessMs?: bigint;
  };
  if (maxStalenessMs !== 0n && consistency !== ReadConsistency.STALE) {
    check.report('max_staleness_ms', `is ${maxStalenessMs}; send it with consistency 2 (stale) only`);
  }
  switch (consistency) {
    case undefined:
    case ReadConsistency.UNSPECIFIED:
    case ReadConsistency.LINEARIZABLE:
      return { kind: 'linearizable' };
    case ReadConsistency.LEASE:
      return { kind: 'lease' };
    case ReadConsistency.STALE:
      if (maxStalenessMs === 0n) return null;
      return { kind: 'bounded', maxStalenessMs: check.number('max_staleness_ms', maxStalenessMs, 1) };
    default:
      check.report(
        'consistency',
        `is ${consistency as number}; send 1 (linearizable), 2 (stale) or 3 (lease), or 0 for linearizable`,
      );
      return null;
  }
}

async function viewFor(
  context: ApiContext,
  stream: StreamId,
  consistency: Consistency | null,
  scope: CallScope,
): Promise<Result<MachineView, StatusError>> {
  const { member, addressOf } = context;
  if (consistency === null) {
    // It hears of nothing any more: its state would be older and older for ever.
    if (member.status(stream).removed) return err(memberRemoved(context.memberId));
    return ok(member.local(stream));
  }
  const outcome = await member.read(stream, scope.deadlineMs, consistency);
  if (outcome.kind === 'refused') return err(refused(outcome, addressOf));
  // No sense in building an answer that nobody takes.
  if (scope.cancelled()) return err(failure('DEADLINE_EXPIRED', 'the caller has gone'));
  return ok(outcome.view);
}

export interface PageOf<Message> {
  readonly messages: Message[];
  readonly nextPageToken: string;
}

/**
 * Up to `limit` rows, fewer when they would pass PAGE_BYTES_MAX together; at least one if there is any.
 * `bytesOf` may be a rough estimate.
 */
export function boundedPage<Row, Message>(
  fetch: (limit: number) => Page<Row>,
  limit: number,
  convert: (row: Row) => Message,
  bytesOf: (message: Message) => number,
): PageOf<Message> {
  const page = fetch(limit);
  const messages: Message[] = [];
  let bytes = 0;
  for (const row of page.rows) {
    const message = convert(row);
    bytes += bytesOf(message);
    if (messages.length > 0 && bytes > PAGE_BYTES_MAX) break;
    messages.push(message);
  }
  // The view alone knows the key to go on from; a page that ends early is asked for again at its true length.
  const whole = messages.length === page.rows.length;
  const next = whole ? page.next : must(fetch(messages.length).next, 'a page that was cut has a next one');
  return { messages, nextPageToken: pageToken(next) };
}
