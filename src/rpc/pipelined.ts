/**
 * Which methods go through a pipeline: commands that are carried out in one go. A slow one would hold up the answers behind it, and what
 * is read may be large. A document that is made from another version is checked against that one, which the leader has, unless it is kept no
 * more; a member that does not have it asks the leader first, for a second at most.
 */
import type { DescMethod } from '@bufbuild/protobuf';
import { DocumentService } from '../gen/quorate/v1/document_pb.ts';
import { LedgerService } from '../gen/quorate/v1/ledger_pb.ts';
import { PhaseService } from '../gen/quorate/v1/phase_pb.ts';
import { SessionService } from '../gen/quorate/v1/session_pb.ts';

const SERVICES: ReadonlySet<string> = new Set(
  [PhaseService, DocumentService, LedgerService, SessionService].map(({ typeName }) => typeName),
);

export function isPipelined({ methodKind, name, parent }: DescMethod): boolean {
  return methodKind === 'unary' && SERVICES.has(parent.typeName) && !/^(?:Get|List)/.test(name);
}
