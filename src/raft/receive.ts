/** What every message goes through first: address and term (Raft paper, section 5.1). Then its handler. */
import { unreachable } from '../types/assert.ts';
import { handleAppendRequest } from './handlers/append-request.ts';
import { handleAppendResponse } from './handlers/append-response.ts';
import { handleHeartbeatRequest } from './handlers/heartbeat-request.ts';
import { handleHeartbeatResponse } from './handlers/heartbeat-response.ts';
import { handlePreVoteRequest } from './handlers/pre-vote-request.ts';
import { handlePreVoteResponse } from './handlers/pre-vote-response.ts';
import { handleReadIndexRequest } from './handlers/read-index-request.ts';
import { handleReadIndexResponse } from './handlers/read-index-response.ts';
import { handleRecoverRequest } from './handlers/recover-request.ts';
import { handleRecoverResponse } from './handlers/recover-response.ts';
import { handleTimeoutNow } from './handlers/timeout-now.ts';
import { handleVoteRequest } from './handlers/vote-request.ts';
import { handleVoteResponse } from './handlers/vote-response.ts';
import { becomeFollower } from './roles/follower.ts';
import { inLeaderLease, mark, type State } from './state.ts';
import type { Message } from './types.ts';

export function receive(state: State, message: Message): void {
  if (message.to !== state.id || message.from === state.id) {
    mark(state, 'misaddressed');
    return;
  }
  if (message.term > state.term && !enterTerm(state, message)) return;
  if (message.term < state.term && !answersOldTerm(state, message)) return;
  dispatch(state, message);
}

/** A higher term: this member falls in behind it, except where the message only asks. False: drop the message. */
function enterTerm(state: State, message: Message): boolean {
  switch (message.kind) {
    case 'preVoteRequest':
      return true;
    case 'preVoteResponse':
      // A grant carries the term asked about; a refusal carries the sender's own.
      if (!message.granted) becomeFollower(state, message.term, null);
      return true;
    case 'voteRequest':
      if (!message.leadershipTransfer && inLeaderLease(state)) {
        // Thesis 4.2.3. If the candidate's term is stuck above the leader's, its answer to the leader's next
        // message carries that term, and the leader steps down.
        mark(state, 'vote_ignored_in_lease');
        return false;
      }
      becomeFollower(state, message.term, null);
      return true;
    case 'appendRequest':
    case 'heartbeatRequest':
      becomeFollower(state, message.term, message.from);
      return true;
    default:
      becomeFollower(state, message.term, null);
      return true;
  }
}

/**
 * A lower term: requests are answered with the newer term, so that a leader or candidate that was left behind steps
 * down; answers are dropped. True: the handler takes the message although it is old.
 */
function answersOldTerm(state: State, message: Message): boolean {
  const { id: from, term } = state;
  const to = message.from;
  switch (message.kind) {
    case 'preVoteRequest':
    case 'readIndexRequest':
    case 'recoverRequest':
      return true;
    case 'preVoteResponse':
      return !message.granted;
    case 'voteRequest':
      state.output.send({ kind: 'voteResponse', from, to, term, granted: false });
      return false;
    case 'appendRequest': {
      const { prevLogIndex } = message;
      const outcome = {
        kind: 'rejected',
        prevLogIndex,
        hintIndex: prevLogIndex,
        hintTerm: message.prevLogTerm,
      } as const;
      state.output.send({ kind: 'appendResponse', from, to, term, outcome });
      return false;
    }
    case 'heartbeatRequest':
      state.output.send({ kind: 'heartbeatResponse', from, to, term, readSequence: 0, sentMs: 0 });
      return false;
    default:
      mark(state, 'old_term');
      return false;
  }
}

function dispatch(state: State, message: Message): void {
  switch (message.kind) {
    case 'preVoteRequest':
      handlePreVoteRequest(state, message);
      break;
    case 'preVoteResponse':
      handlePreVoteResponse(state, message);
      break;
    case 'voteRequest':
      handleVoteRequest(state, message);
      break;
    case 'voteResponse':
      handleVoteResponse(state, message);
      break;
    case 'appendRequest':
      handleAppendRequest(state, message);
      break;
    case 'appendResponse':
      handleAppendResponse(state, message);
      break;
    case 'heartbeatRequest':
      handleHeartbeatRequest(state, message);
      break;
    case 'heartbeatResponse':
      handleHeartbeatResponse(state, message);
      break;
    case 'readIndexRequest':
      handleReadIndexRequest(state, message);
      break;
    case 'readIndexResponse':
      handleReadIndexResponse(state, message);
      break;
    case 'timeoutNow':
      handleTimeoutNow(state, message);
      break;
    case 'recoverRequest':
      handleRecoverRequest(state, message);
      break;
    case 'recoverResponse':
      handleRecoverResponse(state, message);
      break;
    default:
      unreachable(message, 'message');
  }
}
