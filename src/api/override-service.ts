/** OverrideService: what supervisors decide, who they are, and the record of who did what. */
import type { ServerWritableStream } from '@grpc/grpc-js';
import { OverrideAction as ActionMessage, OverrideService } from '../gen/quorate/v1/override_pb.ts';
import { roster, signaturesNeeded, threshold } from '../machine/override/roster.ts';
import type { OverrideAction, OverrideCommand } from '../machine/override/types.ts';
import type { CommandBody } from '../machine/types.ts';
import type { RawDefinition, ServiceShape } from '../rpc/service.ts';
import type { StatusError } from '../rpc/status.ts';
import { isWeakKey } from '../signing/ed25519.ts';
import { CLUSTER_TIME_MAX_MS, SUPERVISORS_MAX } from '../types/limits.ts';
import { ok, type Result } from '../types/result.ts';
import { auditHandler } from './audit-export.ts';
import type { Check } from './check.ts';
import type { ApiContext } from './context.ts';
import { mutation } from './mutation.ts';
import { read } from './read.ts';
import { checkSigned, hex, nonceOf, signaturesOf } from './signatures.ts';
import type { RawUnaryHandler } from './unary.ts';

const { method } = OverrideService;

type UnaryName = Exclude<keyof RawDefinition<ServiceShape<typeof OverrideService>>, 'exportAudit'>;
type Handlers = { readonly [Name in UnaryName]: RawUnaryHandler } & {
  readonly exportAudit: (call: ServerWritableStream<Buffer, Buffer>) => void;
};

export function overrideHandlers(context: ApiContext): Handlers {
  const prepare = async (body: CommandBody): Promise<Result<CommandBody, StatusError>> =>
    isSigned(body) ? checkSigned(context, body) : ok(body);
  return {
    override: mutation(context, method.override, {
      session: 'optional',
      body: ({ traceId, action, expiresAtMs, nonce, signatures }, check) => ({
        kind: 'override',
        target: targetOf(traceId, check),
        action: actionOf(action, check),
        expiresAtMs: check.number<'ClusterTimeMs'>('expires_at_ms', expiresAtMs, 1, CLUSTER_TIME_MAX_MS),
        nonce: nonceOf(nonce, check),
        signatures: signaturesOf(signatures, 1, check),
      }),
      prepare,
      kind: 'overridden',
      answer: (header, { recoveries }) => ({ $typeName: 'quorate.v1.OverrideResponse' as const, header, recoveries }),
    }),
    changeSupervisors: mutation(context, method.changeSupervisors, {
      session: 'optional',
      body: ({ changes, signaturesNeeded: needed, expiresAtMs, nonce, signatures }, check) => {
        check.count('changes', changes.length, needed === undefined ? 1 : 0, SUPERVISORS_MAX);
        if (needed !== undefined && needed > SUPERVISORS_MAX) {
          check.report('signatures_needed', `is ${needed}; send 0 to ${SUPERVISORS_MAX}`);
        }
        return {
          kind: 'changeSupervisors',
          changes: changes.slice(0, SUPERVISORS_MAX).map(({ name, publicKey }, i) => ({
            name: check.name(`changes[${i}].name`, name),
            publicKey: publicKey === '' ? '' : newKey(`changes[${i}].public_key`, publicKey, check),
          })),
          signaturesNeeded: needed ?? null,
          expiresAtMs: check.number<'ClusterTimeMs'>('expires_at_ms', expiresAtMs, 1, CLUSTER_TIME_MAX_MS),
          nonce: nonceOf(nonce, check),
          signatures: signaturesOf(signatures, 0, check),
        };
      },
      prepare,
      kind: 'supervisorsChanged',
      answer: (header, value) => {
        const { supervisors, threshold: needed } = value;
        return { $typeName: 'quorate.v1.ChangeSupervisorsResponse' as const, header, supervisors, threshold: needed };
      },
    }),
    listSupervisors: read(context, method.listSupervisors, {
      params: () => null,
      answer: (view) => {
        const rows = roster(view.rows);
        return ok({
          $typeName: 'quorate.v1.ListSupervisorsResponse' as const,
          supervisors: rows.map(({ name, publicKey, addedRevision }) => ({
            $typeName: 'quorate.v1.Supervisor' as const,
            name,
            publicKey,
            addedRevision: BigInt(addedRevision),
          })),
          threshold: threshold(rows.length, signaturesNeeded(view.rows)),
          signaturesNeeded: signaturesNeeded(view.rows),
          clusterId: context.clusterId,
          clusterTimeMs: BigInt(view.timeMs),
        });
      },
    }),
    exportAudit: auditHandler(context),
  };
}

function isSigned(body: CommandBody): body is OverrideCommand {
  return body.kind === 'override' || body.kind === 'changeSupervisors';
}

function newKey(field: string, publicKey: string, check: Check): string {
  if (isWeakKey(publicKey))
    check.report(field, 'is a key with which anybody can sign; make one: `quorate sign keygen`');
  return hex(field, publicKey, 64, check);
}

export function targetOf(traceId: string, check: Check): string {
  if (traceId === '') check.report('trace_id', 'is empty; name the trace whose recoveries are meant');
  return check.label('trace_id', traceId);
}

function actionOf(action: ActionMessage, check: Check): OverrideAction {
  switch (action) {
    case ActionMessage.RESUME:
      return 'resume';
    case ActionMessage.ABORT:
      return 'abort';
    case ActionMessage.FORCE_ROLLBACK:
      return 'force-rollback';
    default:
      check.report('action', `is ${action}; send 1 (resume), 2 (abort) or 3 (force rollback)`);
      return 'resume';
  }
}
