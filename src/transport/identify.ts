/** Who answers at a peer address: asked before a member is added to a cluster (R2). */
import { Client, status as Code, credentials, type sendUnaryData } from '@grpc/grpc-js';
import { type IdentifyResponse, IdentifyResponseSchema, PeerService } from '../gen/quorate/internal/v1/peer_pb.ts';
import { encodeMessage, methodDefinition } from '../rpc/service.ts';
import { parseStatus } from '../rpc/status.ts';
import { type ClusterId, isName, type MemberId } from '../types/ids.ts';
import { err, ok, type Result } from '../types/result.ts';
import type { HelloReader } from './hello.ts';
import { DEFAULT_TRANSPORT_LIMITS, peerChannelOptions } from './options.ts';

export interface PeerIdentification {
  readonly clusterId: ClusterId;
  readonly memberId: MemberId;
  /** 32 hex digits; names the data folder. */
  readonly incarnation: string;
  readonly version: string;
  readonly featureLevel: number;
  /** It waits to be added; false: it takes part in a cluster, or will as soon as its peers are there. */
  readonly joining: boolean;
}

const INCARNATION = /^[0-9a-f]{32}$/;
/** As Node names what the system says of a connection or a name. */
const SYSTEM_ERROR = /\b(?:ECONN[A-Z]+|EHOST[A-Z]+|ENET[A-Z]+|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EPIPE)\b/;
const identify = methodDefinition(PeerService.method.identify);

/**
 * Asks the member that serves `address` (host:port of its peer port) who it is. The error is a sentence that names the
 * address. Resolves within `timeoutMs`; never rejects.
 */
export async function identifyPeer(address: string, timeoutMs: number): Promise<Result<PeerIdentification, string>> {
  const client = new Client(address, credentials.createInsecure(), peerChannelOptions(DEFAULT_TRANSPORT_LIMITS));
  try {
    const response = await ask(client, timeoutMs);
    const { clusterId, memberId, incarnation, version, featureLevel, joining } = response;
    if (!isName(clusterId) || !isName(memberId) || !INCARNATION.test(incarnation)) {
      return err(`${address} does not say who it is: is it the peer port of a member?`);
    }
    return ok({
      clusterId: clusterId as ClusterId,
      memberId: memberId as MemberId,
      incarnation,
      version,
      featureLevel,
      joining,
    });
  } catch (error) {
    return err(`no member answers at ${address} within ${Math.round(timeoutMs)} ms: ${causeOf(error)}`);
  } finally {
    client.close();
  }
}

/** grpc-js tells the whole story of a connection; what somebody can act on is its end. */
function causeOf(error: unknown): string {
  const { code, message } = parseStatus(error);
  const cause = SYSTEM_ERROR.exec(message)?.[0];
  if (cause !== undefined) return cause;
  return code === Code.DEADLINE_EXCEEDED ? 'no answer in time' : message;
}

function ask(client: Client, timeoutMs: number): Promise<IdentifyResponse> {
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      identify.path,
      identify.requestSerialize,
      identify.responseDeserialize,
      { $typeName: 'quorate.internal.v1.IdentifyRequest' },
      // Ready or not: an address that takes a while to come up is tried until the time is over.
      { deadline: Date.now() + timeoutMs },
      (error, response) => {
        if (error !== null) reject(error);
        else if (response === undefined) reject(new Error('an empty answer'));
        else resolve(response);
      },
    );
  });
}

/** The other side: a handler of the peer service. */
export function answerIdentify(self: HelloReader, answer: sendUnaryData<Buffer>): void {
  const { clusterId, memberId, identity } = self;
  const { incarnation, version, featureLevel } = identity;
  const response: IdentifyResponse = {
    $typeName: 'quorate.internal.v1.IdentifyResponse',
    clusterId,
    memberId,
    incarnation,
    version,
    featureLevel,
    joining: identity.joining(),
  };
  answer(null, encodeMessage(IdentifyResponseSchema, response));
}
