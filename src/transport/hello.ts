/** The handshake of a peer stream: who speaks to whom, in which cluster, in which version of the protocol. */
import { status as Code } from '@grpc/grpc-js';
import { type Hello, type PeerFrame, PeerFrameSchema } from '../gen/quorate/internal/v1/peer_pb.ts';
import { encodeMessage } from '../rpc/service.ts';
import { type StatusError, statusError } from '../rpc/status.ts';
import type { ClusterId, MemberId } from '../types/ids.ts';
import { err, ok, type Result } from '../types/result.ts';

export const PROTOCOL_VERSION = 1;
/** Highest cluster feature level of this release (R9). */
export const FEATURE_LEVEL = 1;

const NS = 'quorate.internal.v1';

export interface HelloParties {
  readonly clusterId: ClusterId;
  readonly from: MemberId;
  readonly to: MemberId;
}

export function helloFrame({ clusterId, from, to }: HelloParties): Buffer {
  const hello: Hello = {
    $typeName: `${NS}.Hello`,
    clusterId,
    from,
    to,
    protocolVersion: PROTOCOL_VERSION,
    featureLevel: FEATURE_LEVEL,
  };
  return encodeMessage(PeerFrameSchema, { $typeName: `${NS}.PeerFrame`, hello, envelopes: [] });
}

export interface Greeting {
  readonly from: MemberId;
  readonly featureLevel: number;
}

/** Who speaks in `frame`, or the status to refuse it with. `peers` are the members that may. */
export function readHello(
  frame: PeerFrame,
  self: { readonly clusterId: ClusterId; readonly memberId: MemberId },
  peers: ReadonlyMap<MemberId, unknown>,
): Result<Greeting, StatusError> {
  const { hello } = frame;
  if (hello === undefined || frame.envelopes.length > 0) {
    return refuse(
      Code.INVALID_ARGUMENT,
      'HELLO_EXPECTED',
      'the first frame of a peer stream is a hello and nothing else',
    );
  }
  if (hello.clusterId !== self.clusterId) {
    return refuse(
      Code.FAILED_PRECONDITION,
      'WRONG_CLUSTER',
      `this member belongs to cluster ${self.clusterId}, the hello names ${quote(hello.clusterId)}: check the peer addresses`,
    );
  }
  if (hello.protocolVersion !== PROTOCOL_VERSION) {
    return refuse(
      Code.FAILED_PRECONDITION,
      'WRONG_PROTOCOL_VERSION',
      `this member speaks peer protocol ${PROTOCOL_VERSION}, the hello says ${hello.protocolVersion}: upgrade the older member`,
    );
  }
  if (hello.to !== self.memberId) {
    return refuse(
      Code.FAILED_PRECONDITION,
      'WRONG_MEMBER',
      `this is member ${self.memberId}, the hello is for ${quote(hello.to)}: check the peer addresses`,
    );
  }
  const from = hello.from as MemberId;
  if (!peers.has(from)) {
    return refuse(
      Code.PERMISSION_DENIED,
      'UNKNOWN_MEMBER',
      `${quote(hello.from)} is no member of cluster ${self.clusterId} that ${self.memberId} knows: check its member id`,
    );
  }
  return ok({ from, featureLevel: hello.featureLevel });
}

function refuse(code: Code, reason: string, message: string): Result<never, StatusError> {
  return err(statusError({ code, reason, message }));
}

/** Text from a stranger, cut short. By code points: half a surrogate pair cannot be sent as a gRPC message. */
function quote(text: string): string {
  return JSON.stringify([...text.slice(0, 130)].slice(0, 64).join(''));
}
