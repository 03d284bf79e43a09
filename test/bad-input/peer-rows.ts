/** The table of peer streams that a member refuses: the frames, and what it says. */
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { PeerFrameSchema } from '../../src/gen/quorate/internal/v1/peer_pb.ts';
import { PEER_MESSAGE_BYTES_MAX } from '../../src/types/limits.ts';

export interface PeerNames {
  readonly cluster: string;
  /** The member that is spoken to, and another one of its cluster. */
  readonly self: string;
  readonly peer: string;
  /** What `peer` says of itself in a hello. */
  readonly incarnation: string;
  readonly membersDigest: string;
}

export interface PeerRow {
  readonly name: string;
  readonly frames: (names: PeerNames) => readonly Uint8Array[];
  readonly answer: RegExp;
}

type Frame = MessageInitShape<typeof PeerFrameSchema>;
type Envelope = NonNullable<Frame['envelopes']>[number];
const ABOVE_SAFE = 2n ** 53n;

function frame(init: Frame): Uint8Array {
  return toBinary(PeerFrameSchema, create(PeerFrameSchema, init));
}

function hello({ cluster, self, peer, incarnation, membersDigest }: PeerNames): NonNullable<Frame['hello']> {
  return { clusterId: cluster, from: peer, to: self, protocolVersion: 1, featureLevel: 1, incarnation, membersDigest };
}

/** A hello in order but for `change`. */
function greeting(name: string, change: object, answer: RegExp): PeerRow {
  return { name, frames: (names) => [frame({ hello: { ...hello(names), ...change } as never })], answer };
}

/** A hello in order, then `envelope`. */
function said(name: string, envelope: (names: PeerNames) => Envelope, answer: RegExp): PeerRow {
  return { name, frames: (names) => [frame({ hello: hello(names) }), frame({ envelopes: [envelope(names)] })], answer };
}

function vote(names: PeerNames, change: object): Envelope {
  const value = { lastLogIndex: 0n, lastLogTerm: 0n, leadershipTransfer: false };
  const raft = { from: names.peer, to: names.self, term: 1n, body: { case: 'voteRequest', value }, ...change };
  return { streamId: 1, body: { case: 'raft', value: raft } } as Envelope;
}

/** An image of a state that nobody made, in order but for `change` and `markChange`. */
function chunk(change: object, markChange: object = {}): Envelope {
  const configuration = { version: 1, voters: ['m1', 'm2', 'm3'], votersOutgoing: [], learners: [] };
  const mark = { index: 10n, term: 1n, configurationIndex: 0n, configuration, ...markChange };
  const value = { transferId: 1n, term: 1n, mark, sequence: 0n, last: true, data: random(100), ...change };
  return { streamId: 1, body: { case: 'snapshotChunk', value } } as Envelope;
}

function voters(change: object): object {
  return { configuration: { version: 1, voters: ['m1'], votersOutgoing: [], learners: [], ...change } };
}

function random(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 193 + 171) % 256);
}

const MALFORMED = /^INVALID_ARGUMENT MALFORMED_FRAME: /;

export const PEER_ROWS: readonly PeerRow[] = [
  greeting(
    'a wrong cluster',
    { clusterId: 'other' },
    /^FAILED_PRECONDITION WRONG_CLUSTER: this member belongs to cluster dev, the hello names "other": check the peer addresses$/,
  ),
  greeting('a cluster without a name', { clusterId: '' }, /WRONG_CLUSTER: .* names "": check the peer addresses$/),
  greeting(
    'a cluster with a very long name',
    { clusterId: '😀'.repeat(50_000) },
    /WRONG_CLUSTER: .*check the peer addresses$/,
  ),
  greeting(
    'another protocol version',
    { protocolVersion: 2 },
    /^FAILED_PRECONDITION WRONG_PROTOCOL_VERSION: this member speaks peer protocol 1, the hello says 2: upgrade the older member$/,
  ),
  greeting('no protocol version', { protocolVersion: 0 }, /WRONG_PROTOCOL_VERSION: .* the hello says 0/),
  greeting(
    'for another member',
    { to: 'm3' },
    /^FAILED_PRECONDITION WRONG_MEMBER: this is member m1, the hello is for "m3": check the peer addresses$/,
  ),
  greeting(
    'an unknown member that does not show with whom its cluster was begun',
    { from: 'm9', membersDigest: '' },
    /^PERMISSION_DENIED UNKNOWN_MEMBER: "m9" is no member of cluster dev that m1 knows: check its member id$/,
  ),
  greeting('the member itself', { from: 'm1' }, /^PERMISSION_DENIED UNKNOWN_MEMBER/),
  greeting('control characters for a name', { from: '\u001b[2J\n' }, /UNKNOWN_MEMBER: "\\u001b\[2J\\n" is no member/),
  greeting(
    'another list of members',
    { membersDigest: '0'.repeat(64) },
    /^FAILED_PRECONDITION WRONG_MEMBERS: .*: make the setting members equal on all of them, and restore the same backup/,
  ),
  greeting('no incarnation', { incarnation: '' }, /^FAILED_PRECONDITION WRONG_INCARNATION: .*: upgrade that member$/),
  greeting(
    'another data folder',
    { incarnation: '0'.repeat(32) },
    /^FAILED_PRECONDITION WRONG_INCARNATION: member m2 lost its data folder or has another one; .*Put the old folder back$/,
  ),
  {
    name: 'an empty frame',
    frames: () => [frame({})],
    answer: /HELLO_EXPECTED: the first frame of a peer stream is a hello/,
  },
  {
    name: 'a message in place of a hello',
    frames: (names) => [frame({ envelopes: [vote(names, {})] })],
    answer: /HELLO_EXPECTED/,
  },
  { name: 'random bytes', frames: () => [random(100)], answer: MALFORMED },
  {
    name: 'a frame that is too large',
    frames: () => [random(PEER_MESSAGE_BYTES_MAX + 1)],
    answer: /^RESOURCE_EXHAUSTED .*larger than max/,
  },
  {
    name: 'a second hello',
    frames: (names) => [frame({ hello: hello(names) }), frame({ hello: hello(names) })],
    answer: MALFORMED,
  },
  {
    name: 'random bytes after the hello',
    frames: (names) => [frame({ hello: hello(names) }), random(100)],
    answer: MALFORMED,
  },
  said('an envelope without content', () => ({ streamId: 1 }), MALFORMED),
  said('a message without content', (names) => vote(names, { body: { case: undefined } }), MALFORMED),
  said(
    "a message in a third member's name",
    (names) => vote(names, { from: 'm3' }),
    /MALFORMED_FRAME: a message from m3 on the stream of m2$/,
  ),
  said('a message for a third member', (names) => vote(names, { to: 'm3' }), /MALFORMED_FRAME: a message for m3$/),
  said(
    'a term above 2^53 - 1',
    (names) => vote(names, { term: ABOVE_SAFE }),
    /MALFORMED_FRAME: .*term is 9007199254740992/,
  ),
  said('a piece of an image without a mark', () => chunk({ mark: undefined }), /MALFORMED_FRAME: .*mark/),
  said('a piece of an image at index 0', () => chunk({}, { index: 0n }), /MALFORMED_FRAME: .*mark\.index/),
  said('a piece of an image beyond 2^53', () => chunk({ sequence: ABOVE_SAFE }), /MALFORMED_FRAME: .*sequence is 9007/),
  said(
    'a piece of an image whose configuration comes later',
    () => chunk({}, { configurationIndex: 11n }),
    /MALFORMED_FRAME: .*mark\.configuration_index comes after the mark/,
  ),
  said('an image without voters', () => chunk({}, voters({ voters: [] })), /MALFORMED_FRAME: .*without voters/),
  said(
    'an image with a voter twice',
    () => chunk({}, voters({ voters: ['m1', 'm1'] })),
    /MALFORMED_FRAME: .*not distinct/,
  ),
  said(
    'an image with a learner that votes',
    () => chunk({}, voters({ learners: ['m1'] })),
    /MALFORMED_FRAME: .*voter and learner/,
  ),
  said(
    'an image with a member without a name',
    () => chunk({}, voters({ learners: [''] })),
    /MALFORMED_FRAME: .*no member id/,
  ),
  said(
    'an image with a configuration of a later release',
    () => chunk({}, voters({ version: 2 })),
    /MALFORMED_FRAME: .*configuration version 2 is unknown .*upgrade this member/,
  ),
  said(
    'an answer about an image that means nothing',
    () =>
      ({ streamId: 1, body: { case: 'snapshotAck', value: { transferId: 1n, next: 0n, outcome: 99 } } }) as Envelope,
    /MALFORMED_FRAME: .*outcome 99 is unknown to this release/,
  ),
  said(
    'a state hash that is none',
    () => ({ streamId: 1, body: { case: 'stateHash', value: { index: 1n, hash: 'x' } } }) as Envelope,
    /MALFORMED_FRAME: .*hash is not 32 hex digits/,
  ),
];
