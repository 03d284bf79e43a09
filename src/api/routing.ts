/** Which stream a request goes to (R8): what is about a loop, to the loop's; all else, to the first data stream. */
import type { CommandBody } from '../machine/types.ts';
import { unreachable } from '../types/assert.ts';
import { DATA_STREAM, type StreamId } from '../types/ids.ts';
import { DATA_STREAMS, streamForKey } from '../types/placement.ts';

export function streamOfLoop(loop: string): StreamId {
  return streamForKey(loop, DATA_STREAMS);
}

/** The stream whose log carries the command. */
export function streamOfCommand(body: CommandBody): StreamId {
  switch (body.kind) {
    case 'createLoop':
    case 'putDocument':
    case 'deleteDocument':
      return streamOfLoop(body.loop);
    case 'beginPhase':
    case 'reportProgress':
    case 'commitPhase':
    case 'abortPhase':
    case 'interruptPhase':
    case 'reportFinished':
    case 'startRecovery':
    case 'takeOverRecovery':
    case 'completeStep':
    case 'settleCompensation':
    case 'recordIntent':
    case 'confirmEffect':
    case 'withdrawEffect':
      return streamOfLoop(body.ref.loop);
    case 'advanceTime':
    case 'openSession':
    case 'keepAliveSession':
    case 'closeSession':
    case 'registerPlan':
    // Members are members of all streams, and levels are the cluster's.
    case 'changeMembers':
    case 'setFeatureLevel':
    // What is the cluster's, or about a trace that may touch several loops: with the first data stream while K = 1.
    case 'decommissionNode':
    case 'markAgent':
    case 'setPolicy':
    case 'override':
    case 'changeSupervisors':
    case 'acknowledgeIssue':
    case 'settleAlert':
    case 'markLagging':
    case 'permitAsync':
    case 'markIsolated':
    case 'evictMember':
      return DATA_STREAM;
    default:
      return unreachable(body, 'command');
  }
}
