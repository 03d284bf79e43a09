/**
 * The handshake of a peer stream: who speaks to whom, in which cluster, in which version of the protocol, with which
 * list of members, and from which data folder.
 */
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
const INCARNATION = /^[0-9a-f]{32}$/;

/** What a member tells its peers of itself besides its name, and its memory of what they told. */
export interface PeerIdentity {
  /** Names the data folder: 32 hex digits, drawn when the folder was new. */
  readonly incarnation: string;
  /** Equal exactly when the sets of voters are. */
  readonly membersDigest: string;
  /**
   * Resolves once it is durable that `peer` has this incarnation, or with the reason why it must not have it: it was
   * met with another one. Rejects when it cannot be made durable.
   */
  admit(peer: MemberId, incarnation: string): Promise<Result<void, string>>;
}

export interface HelloParties {
  readonly clusterId: ClusterId;
  readonly from: MemberId;
  readonly to: MemberId;
  /** The sender's. */
  readonly identity: Pick<PeerIdentity, 'incarnation' | 'membersDigest'>;
}

export function helloFrame({ clusterId, from, to, identity }: HelloParties): Buffer {
  const hello: Hello = {
    $typeName: `${NS}.Hello`,
    clusterId,
    from,
    to,
    protocolVersion: PROTOCOL_VERSION,
    featureLevel: FEATURE_LEVEL,
    incarnation: identity.incarnation,
    membersDigest: identity.membersDigest,
  };
  return encodeMessage(PeerFrameSchema, { $typeName: `${NS}.PeerFrame`, hello, envelopes: [] });
}

export interface Greeting {
  readonly from: MemberId;
  readonly featureLevel: number;
  /** Not admitted yet: see {@link admitPeer}. */
  readonly incarnation: string;
}

/** The member that reads a hello. */
export interface HelloReader {
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
  readonly identity: PeerIdentity;
}

/** Who speaks in `frame`, or the status to refuse it with. `peers` are the members that may. */
export function readHello(
  frame: PeerFrame,
  self: HelloReader,
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
  if (hello.membersDigest !== self.identity.membersDigest) {
    return refuse(
      Code.FAILED_PRECONDITION,
      'WRONG_MEMBERS',
      `${from} and ${self.memberId} have different lists of members: make the setting members equal on all of them`,
    );
  }
  if (!INCARNATION.test(hello.incarnation)) {
    return refuse(
      Code.FAILED_PRECONDITION,
      'WRONG_INCARNATION',
      `the hello of ${from} does not say which data folder it has (an incarnation of 32 hex digits): upgrade that member`,
    );
  }
  return ok({ from, featureLevel: hello.featureLevel, incarnation: hello.incarnation });
}

/** What `greeting` says of the data folder is durable when this resolves; only then may anything else be exchanged. */
export async function admitPeer(self: HelloReader, greeting: Greeting): Promise<Result<Greeting, StatusError>> {
  const { from, incarnation } = greeting;
  try {
    const admitted = await self.identity.admit(from, incarnation);
    if (admitted.ok) return ok(greeting);
    return refuse(Code.FAILED_PRECONDITION, 'WRONG_INCARNATION', admitted.error);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return refuse(
      Code.UNAVAILABLE,
      'IDENTITY_NOT_WRITTEN',
      `${self.memberId} cannot write down which data folder ${from} has: ${why}`,
    );
  }
}

function refuse(code: Code, reason: string, message: string): Result<never, StatusError> {
  return err(statusError({ code, reason, message }));
}

/** Text from a stranger, cut short. By code points: half a surrogate pair cannot be sent as a gRPC message. */
function quote(text: string): string {
  return JSON.stringify([...text.slice(0, 130)].slice(0, 64).join(''));
}
