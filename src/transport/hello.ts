/**
 * The handshake of a peer stream: who speaks to whom, in which cluster, in which version of the protocol, and from which
 * data folder. Whether that peer may be spoken to is decided by whoever knows the members: `PeerIdentity.admit`.
 */
import { status as Code } from '@grpc/grpc-js';
import { type Hello, type PeerFrame, PeerFrameSchema } from '../gen/quorate/internal/v1/peer_pb.ts';
import { encodeMessage } from '../rpc/service.ts';
import { type StatusError, statusError } from '../rpc/status.ts';
import { isAddress } from '../types/address.ts';
import { type ClusterId, isName, type MemberId } from '../types/ids.ts';
import { err, ok, type Result } from '../types/result.ts';

export const PROTOCOL_VERSION = 1;

const NS = 'quorate.internal.v1';
const INCARNATION = /^[0-9a-f]{32}$/;
const DIGEST = /^[0-9a-f]{64}$/;

/** What a member tells its peers of itself besides its name, and its judgement of them. */
export interface PeerIdentity {
  /** Names the data folder: 32 hex digits, drawn when the folder was new. */
  readonly incarnation: string;
  /**
   * Equal exactly when the sets of voters that the cluster was started with are, and the backup that it was restored from, if it
   * was; of a member that joined later, what the members of its cluster say, and '' until they have said it.
   */
  readonly membersDigest: string;
  /** host:port where others reach this member. */
  readonly peerAddress: string;
  readonly clientAddress: string;
  /** Highest cluster feature level that this member supports (R9). */
  readonly featureLevel: number;
  /** Release, for people. */
  readonly version: string;
  /** True while this member waits to be added to a cluster. */
  joining(): boolean;
  /**
   * Whether this member speaks with `peer`. When it does, it is durable on resolve that the peer has this incarnation.
   * Rejects when it cannot be made durable.
   */
  admit(peer: Greeting): Promise<Result<void, AdmissionRefusal>>;
}

export interface AdmissionRefusal {
  /** REMOVED: it was a member, and its data folder must not come back. */
  readonly reason: 'UNKNOWN_MEMBER' | 'WRONG_INCARNATION' | 'REMOVED';
  /** One sentence that says what to do. */
  readonly message: string;
}

export interface HelloParties {
  readonly clusterId: ClusterId;
  readonly from: MemberId;
  readonly to: MemberId;
  /** The sender's. */
  readonly identity: Omit<PeerIdentity, 'admit' | 'joining' | 'version'>;
}

export function helloFrame({ clusterId, from, to, identity }: HelloParties): Buffer {
  const hello: Hello = {
    $typeName: `${NS}.Hello`,
    clusterId,
    from,
    to,
    protocolVersion: PROTOCOL_VERSION,
    featureLevel: identity.featureLevel,
    incarnation: identity.incarnation,
    membersDigest: identity.membersDigest,
    peerAddress: identity.peerAddress,
    clientAddress: identity.clientAddress,
  };
  return encodeMessage(PeerFrameSchema, { $typeName: `${NS}.PeerFrame`, hello, envelopes: [] });
}

/** What a peer says of itself. */
export interface Greeting {
  readonly from: MemberId;
  readonly featureLevel: number;
  readonly incarnation: string;
  /** host:port; '' from a member of an older version. */
  readonly peerAddress: string;
  readonly clientAddress: string;
  /** As in {@link PeerIdentity}; not another one than this member's own, if both are known. '' for what is none. */
  readonly membersDigest: string;
}

/** The member that reads a hello. */
export interface HelloReader {
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
  readonly identity: PeerIdentity;
}

/** Who speaks in `frame`, or the status to refuse it with. Not admitted yet: see {@link admitPeer}. */
export function readHello(frame: PeerFrame, self: HelloReader): Result<Greeting, StatusError> {
  const { hello } = frame;
  if (hello === undefined || frame.envelopes.length > 0) {
    return refuse(
      Code.INVALID_ARGUMENT,
      'HELLO_EXPECTED',
      'the first frame of a peer stream is a hello and nothing else',
    );
  }
  const { clusterId, memberId } = self;
  if (hello.clusterId !== clusterId) {
    return refuse(
      Code.FAILED_PRECONDITION,
      'WRONG_CLUSTER',
      `this member belongs to cluster ${clusterId}, the hello names ${quote(hello.clusterId)}: check the peer addresses`,
    );
  }
  if (hello.protocolVersion !== PROTOCOL_VERSION) {
    return refuse(
      Code.FAILED_PRECONDITION,
      'WRONG_PROTOCOL_VERSION',
      `this member speaks peer protocol ${PROTOCOL_VERSION}, the hello says ${hello.protocolVersion}: upgrade the older member`,
    );
  }
  if (hello.to !== memberId) {
    return refuse(
      Code.FAILED_PRECONDITION,
      'WRONG_MEMBER',
      `this is member ${memberId}, the hello is for ${quote(hello.to)}: check the peer addresses`,
    );
  }
  if (!isName(hello.from) || hello.from === memberId) {
    return refuse(Code.PERMISSION_DENIED, 'UNKNOWN_MEMBER', unknownMember(hello.from, self));
  }
  return greetingOf(hello, self);
}

function greetingOf(hello: Hello, self: HelloReader): Result<Greeting, StatusError> {
  const from = hello.from as MemberId;
  const own = self.identity.membersDigest;
  if (hello.membersDigest !== '' && own !== '' && hello.membersDigest !== own) {
    return refuse(
      Code.FAILED_PRECONDITION,
      'WRONG_MEMBERS',
      `${from} and ${self.memberId} were started with different lists of members, or from different backups: make the setting ` +
        'members equal on all of them, and restore the same backup with the same list on each',
    );
  }
  if (!INCARNATION.test(hello.incarnation)) {
    return refuse(
      Code.FAILED_PRECONDITION,
      'WRONG_INCARNATION',
      `the hello of ${from} does not say which data folder it has (an incarnation of 32 hex digits): upgrade that member`,
    );
  }
  const { featureLevel, incarnation } = hello;
  const membersDigest = DIGEST.test(hello.membersDigest) ? hello.membersDigest : '';
  // An address is a help, not a claim: one that is none is as good as absent.
  const peerAddress = isAddress(hello.peerAddress) ? hello.peerAddress : '';
  const clientAddress = isAddress(hello.clientAddress) ? hello.clientAddress : '';
  return ok({ from, featureLevel, incarnation, peerAddress, clientAddress, membersDigest });
}

/** For a hello of somebody who is no member. */
export function unknownMember(
  from: string,
  self: { readonly clusterId: ClusterId; readonly memberId: MemberId },
): string {
  return `${quote(from)} is no member of cluster ${self.clusterId} that ${self.memberId} knows: check its member id`;
}

/** What `greeting` says of the data folder is durable when this resolves; only then may anything else be exchanged. */
export async function admitPeer(self: HelloReader, greeting: Greeting): Promise<Result<Greeting, StatusError>> {
  const { from } = greeting;
  try {
    const admitted = await self.identity.admit(greeting);
    if (admitted.ok) return ok(greeting);
    const { reason, message } = admitted.error;
    const code = reason === 'UNKNOWN_MEMBER' ? Code.PERMISSION_DENIED : Code.FAILED_PRECONDITION;
    return refuse(code, reason, message);
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
