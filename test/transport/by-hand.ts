/** A peer by hand: frames and streams, right and wrong ones. */
import type { Client } from '@grpc/grpc-js';
import { type PeerEnvelope, PeerFrameSchema, PeerService } from '../../src/gen/quorate/internal/v1/peer_pb.ts';
import { encodeMessage, rawDefinition } from '../../src/rpc/service.ts';
import { type ParsedStatus, parseStatus } from '../../src/rpc/status.ts';
import { helloFrame, type PeerIdentity } from '../../src/transport/hello.ts';
import { clusterId, memberId } from '../../src/types/ids.ts';
import { identityOf } from './support.ts';

const { exchange: method } = rawDefinition(PeerService);

export function hello(cluster: string, from: string, to: string, change: Partial<PeerIdentity> = {}): Buffer {
  const identity = { ...identityOf(from), ...change };
  return helloFrame({ clusterId: clusterId(cluster), from: memberId(from), to: memberId(to), identity });
}

export function futureHello(): Buffer {
  return encodeMessage(PeerFrameSchema, {
    $typeName: 'quorate.internal.v1.PeerFrame',
    hello: {
      $typeName: 'quorate.internal.v1.Hello',
      clusterId: 'test',
      from: 'b',
      to: 'a',
      protocolVersion: 2,
      featureLevel: 1,
      incarnation: identityOf('b').incarnation,
      membersDigest: identityOf('b').membersDigest,
      peerAddress: '',
      clientAddress: '',
    },
    envelopes: [],
  });
}

type Body = PeerEnvelope['body'];

export function frameOf(bodies: readonly Body[]): Buffer {
  return encodeMessage(PeerFrameSchema, {
    $typeName: 'quorate.internal.v1.PeerFrame',
    envelopes: bodies.map(
      (body): PeerEnvelope => ({ $typeName: 'quorate.internal.v1.PeerEnvelope', streamId: 1, body }),
    ),
  });
}

export function heartbeatMessage(from: string, to: string, readSequence = 1n): Body {
  const value = {
    $typeName: 'quorate.internal.v1.HeartbeatRequest',
    leaderCommit: 0n,
    readSequence,
    sentMs: 0,
  } as const;
  return {
    case: 'raft',
    value: {
      $typeName: 'quorate.internal.v1.RaftMessage',
      from,
      to,
      term: 1n,
      body: { case: 'heartbeatRequest', value },
    },
  };
}

/** Sends frames, ends the stream unless told to leave it open, and resolves with its final status. */
export function exchange(
  client: Client,
  frames: readonly Buffer[],
  stayOpen = frames.length === 0,
): Promise<ParsedStatus> & { answered: boolean; readonly cancel: () => void } {
  const call = client.makeBidiStreamRequest(method.path, method.requestSerialize, method.responseDeserialize);
  const done = new Promise<ParsedStatus>((resolve) => call.on('status', (status) => resolve(parseStatus(status))));
  const result = Object.assign(done, { answered: false, cancel: () => call.cancel() });
  call.on('data', () => {
    result.answered = true;
  });
  call.on('error', () => {});
  for (const frame of frames) call.write(frame);
  if (!stayOpen) call.end();
  return result;
}
