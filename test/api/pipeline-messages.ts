/** Messages of pipelines for tests: loops that are to be created. */
import { create, toBinary } from '@bufbuild/protobuf';
import { CreateLoopRequestSchema, CreateLoopResponseSchema, PhaseService } from '../../src/gen/quorate/v1/phase_pb.ts';
import {
  type ExecuteRequest,
  ExecuteRequestSchema,
  type PipelinedAnswer,
} from '../../src/gen/quorate/v1/pipeline_pb.ts';
import { decodeMessage, encodeMessage, methodPath } from '../../src/rpc/service.ts';

export const CREATE = methodPath(PhaseService.method.createLoop);

function requestOf(loop: string): Uint8Array {
  return toBinary(CreateLoopRequestSchema, create(CreateLoopRequestSchema, { header: { caller: 'test' }, loop }));
}

export function bytesOf(...calls: Parameters<typeof requests>[0]): Uint8Array {
  return encodeMessage(ExecuteRequestSchema, requests(calls));
}

export function requests(
  calls: readonly (readonly [method: string, loop: string, deadlineMs?: number])[],
): ExecuteRequest {
  return {
    $typeName: 'quorate.v1.ExecuteRequest',
    calls: calls.map(([method, loop, deadlineMs = 0]) => ({
      $typeName: 'quorate.v1.PipelinedCall',
      method,
      request: requestOf(loop),
      deadlineMs,
    })),
  };
}

/** The answer to loop `lN` has revision N, so that it can be told whose it is. */
export function revisionOf({ response }: PipelinedAnswer): number {
  return Number(decodeMessage(CreateLoopResponseSchema, Buffer.from(response)).header?.revision);
}
