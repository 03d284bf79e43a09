/**
 * Which methods go through a pipeline: commands that are carried out in one go. A slow one would hold up the answers behind it, and what
 * is read may be large. Both ends ask here by method; a client by request as well, which may be one for which the member reads first: it is
 * answered when it comes through a pipeline, and better sent by itself.
 */
import { type DescMethod, isMessage, type Message } from '@bufbuild/protobuf';
import { DocumentService, PutDocumentRequestSchema } from '../gen/quorate/v1/document_pb.ts';
import { LedgerService } from '../gen/quorate/v1/ledger_pb.ts';
import { PhaseService } from '../gen/quorate/v1/phase_pb.ts';
import { SessionService } from '../gen/quorate/v1/session_pb.ts';

const SERVICES: ReadonlySet<string> = new Set(
  [PhaseService, DocumentService, LedgerService, SessionService].map(({ typeName }) => typeName),
);

export function isPipelined({ methodKind, name, parent }: DescMethod): boolean {
  return methodKind === 'unary' && SERVICES.has(parent.typeName) && !/^(?:Get|List)/.test(name);
}

/**
 * A document that is made from another version is checked against the schema and the causal fields of that one, for which a member that does not have it
 * asks the leader, and waits, before the command is proposed (completePut).
 */
export function mayRead(request: Message): boolean {
  if (!isMessage(request, PutDocumentRequestSchema) || request.expectedVersion === 0n) return false;
  return request.schema === undefined || request.causalFields?.pointers.length !== 0;
}
