/** Messages of the consensus core ⇄ `quorate.internal.v1.RaftMessage`. See `envelope.ts` for what is checked, and why. */
import type {
  AppendRequest as AppendRequestMessage,
  AppendResponse as AppendResponseMessage,
  Entry as EntryMessage,
  RaftMessage,
  RecoverResponse as RecoverResponseMessage,
} from '../gen/quorate/internal/v1/peer_pb.ts';
import { EntryKind as EntryKindMessage } from '../gen/quorate/internal/v1/peer_pb.ts';
import type { AppendRequest, AppendResponse, Entry, EntryKind, Message, RecoverResponse } from '../raft/types.ts';
import { unreachable } from '../types/assert.ts';
import type { LogIndex, MemberId, Term } from '../types/ids.ts';
import { isName } from '../types/ids.ts';
import { err, ok, type Result } from '../types/result.ts';
import { DecodeFaults, toUint64 } from './number.ts';

const NS = 'quorate.internal.v1';

const KIND_TO_MESSAGE: Readonly<Record<EntryKind, EntryKindMessage>> = {
  noop: EntryKindMessage.NOOP,
  command: EntryKindMessage.COMMAND,
  configuration: EntryKindMessage.CONFIGURATION,
};

const KIND_FROM_MESSAGE: readonly (EntryKind | undefined)[] = ['noop', 'command', 'configuration'];

export function raftToMessage(message: Message): RaftMessage {
  return {
    $typeName: `${NS}.RaftMessage`,
    from: message.from,
    to: message.to,
    term: toUint64(message.term),
    body: bodyToMessage(message),
  };
}

export function raftFromMessage(message: RaftMessage): Result<Message, string> {
  const faults = new DecodeFaults();
  if (!isName(message.from)) faults.report('from is no member id');
  if (!isName(message.to)) faults.report('to is no member id');
  const header: Header = {
    from: message.from as MemberId,
    to: message.to as MemberId,
    term: faults.number<'Term'>('term', message.term),
  };
  const decoded = bodyFromMessage(header, message.body, faults);
  if (faults.first !== null) return err(faults.first);
  if (decoded === null) return err('raft message without a body that this release knows');
  return ok(decoded);
}

interface Header {
  readonly from: MemberId;
  readonly to: MemberId;
  readonly term: Term;
}

type Body = RaftMessage['body'];

function bodyToMessage(message: Message): Body {
  switch (message.kind) {
    case 'preVoteRequest':
      return { case: 'preVoteRequest', value: { $typeName: `${NS}.PreVoteRequest`, ...lastLog(message) } };
    case 'preVoteResponse':
      return { case: 'preVoteResponse', value: { $typeName: `${NS}.PreVoteResponse`, ...voteToMessage(message) } };
    case 'voteRequest': {
      const { leadershipTransfer } = message;
      return {
        case: 'voteRequest',
        value: { $typeName: `${NS}.VoteRequest`, ...lastLog(message), leadershipTransfer },
      };
    }
    case 'voteResponse':
      return { case: 'voteResponse', value: { $typeName: `${NS}.VoteResponse`, ...voteToMessage(message) } };
    case 'appendRequest':
      return { case: 'appendRequest', value: appendToMessage(message) };
    case 'appendResponse':
      return { case: 'appendResponse', value: appendResponseToMessage(message) };
    case 'heartbeatRequest': {
      const leaderCommit = toUint64(message.leaderCommit);
      const readSequence = toUint64(message.readSequence);
      const { sentMs } = message;
      return {
        case: 'heartbeatRequest',
        value: { $typeName: `${NS}.HeartbeatRequest`, leaderCommit, readSequence, sentMs },
      };
    }
    case 'heartbeatResponse': {
      const readSequence = toUint64(message.readSequence);
      const { sentMs } = message;
      return { case: 'heartbeatResponse', value: { $typeName: `${NS}.HeartbeatResponse`, readSequence, sentMs } };
    }
    case 'readIndexRequest': {
      const requestId = toUint64(message.requestId);
      return { case: 'readIndexRequest', value: { $typeName: `${NS}.ReadIndexRequest`, requestId } };
    }
    case 'readIndexResponse': {
      const requestId = toUint64(message.requestId);
      const value: Extract<Body, { case: 'readIndexResponse' }>['value'] = {
        $typeName: `${NS}.ReadIndexResponse`,
        requestId,
      };
      if (message.readIndex !== null) value.readIndex = toUint64(message.readIndex);
      return { case: 'readIndexResponse', value };
    }
    case 'timeoutNow':
      return { case: 'timeoutNow', value: { $typeName: `${NS}.TimeoutNow` } };
    case 'recoverRequest':
      return {
        case: 'recoverRequest',
        value: { $typeName: `${NS}.RecoverRequest`, nonce: toUint64(message.nonce) },
      };
    case 'recoverResponse': {
      const { nonce, lastIndex, recovering } = message;
      const value: RecoverResponseMessage = {
        $typeName: `${NS}.RecoverResponse`,
        nonce: toUint64(nonce),
        recovering,
      };
      if (lastIndex !== null) value.lastIndex = toUint64(lastIndex);
      return { case: 'recoverResponse', value };
    }
    default:
      return unreachable(message, 'raft message');
  }
}

interface VoteFields {
  readonly granted: boolean;
  readonly blank?: true;
}

function voteToMessage({ granted, blank }: VoteFields): { granted: boolean; blank: boolean } {
  return { granted, blank: blank === true };
}

function voteFrom({ granted, blank }: { readonly granted: boolean; readonly blank: boolean }): VoteFields {
  return blank && !granted ? { granted, blank } : { granted };
}

/** null: no body that this release knows. */
function bodyFromMessage(header: Header, body: Body, faults: DecodeFaults): Message | null {
  switch (body.case) {
    case 'preVoteRequest':
      return { ...header, kind: 'preVoteRequest', ...lastLogFrom(body.value, faults) };
    case 'preVoteResponse':
      return { ...header, kind: 'preVoteResponse', ...voteFrom(body.value) };
    case 'voteRequest': {
      const { leadershipTransfer } = body.value;
      return { ...header, kind: 'voteRequest', ...lastLogFrom(body.value, faults), leadershipTransfer };
    }
    case 'voteResponse':
      return { ...header, kind: 'voteResponse', ...voteFrom(body.value) };
    case 'appendRequest':
      return appendFromMessage(header, body.value, faults);
    case 'appendResponse':
      return appendResponseFromMessage(header, body.value, faults);
    case 'heartbeatRequest': {
      const leaderCommit = faults.number<'LogIndex'>('heartbeat_request.leader_commit', body.value.leaderCommit);
      const readSequence: number = faults.number('heartbeat_request.read_sequence', body.value.readSequence);
      const sentMs = timeFrom('heartbeat_request.sent_ms', body.value.sentMs, faults);
      return { ...header, kind: 'heartbeatRequest', leaderCommit, readSequence, sentMs };
    }
    case 'heartbeatResponse': {
      const readSequence: number = faults.number('heartbeat_response.read_sequence', body.value.readSequence);
      const sentMs = timeFrom('heartbeat_response.sent_ms', body.value.sentMs, faults);
      return { ...header, kind: 'heartbeatResponse', readSequence, sentMs };
    }
    case 'readIndexRequest': {
      const requestId: number = faults.number('read_index_request.request_id', body.value.requestId);
      return { ...header, kind: 'readIndexRequest', requestId };
    }
    case 'readIndexResponse': {
      const requestId: number = faults.number('read_index_response.request_id', body.value.requestId);
      const index = body.value.readIndex;
      const readIndex = index === undefined ? null : faults.number<'LogIndex'>('read_index_response.read_index', index);
      return { ...header, kind: 'readIndexResponse', requestId, readIndex };
    }
    case 'timeoutNow':
      return { ...header, kind: 'timeoutNow' };
    case 'recoverRequest':
      return { ...header, kind: 'recoverRequest', nonce: faults.number('recover_request.nonce', body.value.nonce) };
    case 'recoverResponse':
      return recoverResponseFrom(header, body.value, faults);
    case undefined:
      return null;
    default:
      return unreachable(body, 'raft message body');
  }
}

function recoverResponseFrom(header: Header, message: RecoverResponseMessage, faults: DecodeFaults): RecoverResponse {
  const nonce: number = faults.number('recover_response.nonce', message.nonce);
  const index = message.lastIndex;
  const lastIndex = index === undefined ? null : faults.number<'LogIndex'>('recover_response.last_index', index);
  return { ...header, kind: 'recoverResponse', nonce, lastIndex, recovering: message.recovering };
}

/** A time of a clock that starts at 0: a lease must not be reckoned from anything else. */
function timeFrom(field: string, value: number, faults: DecodeFaults): number {
  if (Number.isFinite(value) && value >= 0) return value;
  faults.report(`${field} is ${value}, no time`);
  return 0;
}

function lastLog(message: { lastLogIndex: LogIndex; lastLogTerm: Term }): {
  lastLogIndex: bigint;
  lastLogTerm: bigint;
} {
  return { lastLogIndex: toUint64(message.lastLogIndex), lastLogTerm: toUint64(message.lastLogTerm) };
}

function lastLogFrom(
  message: { lastLogIndex: bigint; lastLogTerm: bigint },
  faults: DecodeFaults,
): { lastLogIndex: LogIndex; lastLogTerm: Term } {
  return {
    lastLogIndex: faults.number<'LogIndex'>('last_log_index', message.lastLogIndex),
    lastLogTerm: faults.number<'Term'>('last_log_term', message.lastLogTerm),
  };
}

// ---------------------------------------------------------------------------------------------- append

function appendToMessage(message: AppendRequest): AppendRequestMessage {
  return {
    $typeName: `${NS}.AppendRequest`,
    prevLogIndex: toUint64(message.prevLogIndex),
    prevLogTerm: toUint64(message.prevLogTerm),
    leaderCommit: toUint64(message.leaderCommit),
    entries: message.entries.map(entryToMessage),
  };
}

function entryToMessage(entry: Entry): EntryMessage {
  return {
    $typeName: `${NS}.Entry`,
    term: toUint64(entry.term),
    kind: KIND_TO_MESSAGE[entry.kind],
    payload: entry.payload,
  };
}

/**
 * The index of an entry follows from its position. Terms never fall along a log and never pass the leader's own, so
 * a request that says otherwise comes from no correct leader (Raft paper, 5.3).
 */
function appendFromMessage(header: Header, message: AppendRequestMessage, faults: DecodeFaults): AppendRequest {
  const prevLogIndex = faults.number<'LogIndex'>('append_request.prev_log_index', message.prevLogIndex);
  const prevLogTerm = faults.number<'Term'>('append_request.prev_log_term', message.prevLogTerm);
  const entries: Entry[] = [];
  let index: number = prevLogIndex;
  let term = prevLogTerm;
  for (const encoded of message.entries) {
    index += 1;
    const entryTerm = faults.number<'Term'>('append_request.entries.term', encoded.term, 1);
    if (entryTerm < term) faults.report('append_request.entries.term falls along the log');
    term = entryTerm;
    const kind = KIND_FROM_MESSAGE[encoded.kind];
    if (kind === undefined) faults.report(`append_request.entries.kind ${encoded.kind} is unknown to this release`);
    else entries.push({ index: index as LogIndex, term, kind, payload: encoded.payload });
  }
  if (!Number.isSafeInteger(index)) faults.report('append_request.entries pass index 2^53 - 1');
  if (term > header.term) faults.report("append_request.entries.term passes the leader's");
  const leaderCommit = faults.number<'LogIndex'>('append_request.leader_commit', message.leaderCommit);
  return { ...header, kind: 'appendRequest', prevLogIndex, prevLogTerm, entries, leaderCommit };
}

function appendResponseToMessage(message: AppendResponse): AppendResponseMessage {
  const { outcome } = message;
  if (outcome.kind === 'accepted') {
    return {
      $typeName: `${NS}.AppendResponse`,
      outcome: { case: 'matchIndex', value: toUint64(outcome.matchIndex) },
    };
  }
  return {
    $typeName: `${NS}.AppendResponse`,
    outcome: {
      case: 'rejection',
      value: {
        $typeName: `${NS}.AppendRejection`,
        prevLogIndex: toUint64(outcome.prevLogIndex),
        hintIndex: toUint64(outcome.hintIndex),
        hintTerm: toUint64(outcome.hintTerm),
      },
    },
  };
}

function appendResponseFromMessage(
  header: Header,
  message: AppendResponseMessage,
  faults: DecodeFaults,
): AppendResponse | null {
  const { outcome } = message;
  switch (outcome.case) {
    case 'matchIndex': {
      const matchIndex = faults.number<'LogIndex'>('append_response.match_index', outcome.value);
      return { ...header, kind: 'appendResponse', outcome: { kind: 'accepted', matchIndex } };
    }
    case 'rejection': {
      const prevLogIndex = faults.number<'LogIndex'>('append_response.prev_log_index', outcome.value.prevLogIndex);
      const hintIndex = faults.number<'LogIndex'>('append_response.hint_index', outcome.value.hintIndex);
      const hintTerm = faults.number<'Term'>('append_response.hint_term', outcome.value.hintTerm);
      return { ...header, kind: 'appendResponse', outcome: { kind: 'rejected', prevLogIndex, hintIndex, hintTerm } };
    }
    case undefined:
      faults.report('append_response without an outcome that this release knows');
      return null;
    default:
      return unreachable(outcome, 'append outcome');
  }
}
