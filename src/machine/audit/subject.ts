/** What a command was about, in the words of the audit log. Bounded, and well-formed whatever the command holds: rejected ones, too. */
import { unreachable } from '../../types/assert.ts';
import { AUDIT_SUBJECT_LENGTH_MAX } from '../../types/limits.ts';
import type { CommandBody, PhaseRef } from '../types.ts';

/** Names parted by spaces; they hold none. */
export function subjectOf(body: CommandBody): string {
  return bounded(rawSubjectOf(body));
}

function rawSubjectOf(body: CommandBody): string {
  switch (body.kind) {
    case 'advanceTime':
    case 'openSession':
    case 'keepAliveSession':
    case 'closeSession':
      return '';
    case 'registerPlan':
      return body.plan;
    case 'createLoop':
      return body.loop;
    case 'beginPhase':
    case 'reportProgress':
    case 'commitPhase':
    case 'abortPhase':
    case 'interruptPhase':
    case 'reportFinished':
    case 'startRecovery':
    case 'takeOverRecovery':
      return refText(body.ref);
    case 'completeStep':
      return `${refText(body.ref)} ${body.step}`;
    case 'settleCompensation':
      return `${refText(body.ref)} ${body.seq}`;
    case 'recordIntent':
    case 'confirmEffect':
    case 'withdrawEffect':
      return `${refText(body.ref)} ${body.key}`;
    case 'putDocument':
    case 'deleteDocument':
      return `${body.loop} ${body.name}`;
    default:
      return clusterSubjectOf(body);
  }
}

type OfCluster = Extract<
  CommandBody,
  {
    kind:
      | 'changeMembers'
      | 'setFeatureLevel'
      | 'decommissionNode'
      | 'markAgent'
      | 'setPolicy'
      | 'override'
      | 'changeSupervisors'
      | 'acknowledgeIssue'
      | 'settleAlert'
      | 'markLagging'
      | 'permitAsync'
      | 'markIsolated'
      | 'evictMember';
  }
>;

function clusterSubjectOf(body: OfCluster): string {
  switch (body.kind) {
    case 'changeMembers':
      return listed(body.changes.map(({ kind, member }) => `${kind}:${member}`));
    case 'setFeatureLevel':
      return `level ${body.level}${body.pinned ? ' pinned' : ''}`;
    case 'decommissionNode':
      return body.node;
    case 'markAgent':
      return `${body.agent} ${body.left ? 'left' : body.healthy ? 'healthy' : 'unhealthy'}`;
    case 'setPolicy':
      return listed(body.values.map(({ name, value }) => `${name}:${value}`));
    case 'override':
      return `${body.action} ${body.target}`;
    case 'changeSupervisors':
      return listed([
        ...(body.signaturesNeeded === null ? [] : [`needed:${body.signaturesNeeded}`]),
        ...body.changes.map(({ name, publicKey }) => `${publicKey === '' ? 'remove' : 'add'}:${name}`),
      ]);
    case 'acknowledgeIssue':
      return String(body.issue);
    case 'settleAlert':
      return `${body.alert} ${body.delivered ? 'delivered' : 'given-up'}`;
    case 'markLagging':
      return `${body.member} ${body.lagging ? 'lagging' : 'keeps-up'}`;
    case 'permitAsync':
      return `${body.member} ${body.on ? 'on' : 'off'}`;
    case 'markIsolated':
      return `${body.member} ${body.isolated ? 'isolated' : 'back'}`;
    case 'evictMember':
      return body.member;
    default:
      return unreachable(body, 'command');
  }
}

/** Of a command that was carried out: what a verifier needs beside the subject, as JSON. */
export function detailOf(body: CommandBody): string {
  switch (body.kind) {
    case 'override': {
      const { action, target, expiresAtMs, nonce, signatures } = body;
      return JSON.stringify({ action, target, expiresAtMs, nonce, signatures: signatures.map(signatureFields) });
    }
    case 'changeSupervisors': {
      const { signaturesNeeded, expiresAtMs, nonce, signatures } = body;
      const changes = body.changes.map(({ name, publicKey }) => [name, publicKey]);
      return JSON.stringify({
        changes,
        signaturesNeeded,
        expiresAtMs,
        nonce,
        signatures: signatures.map(signatureFields),
      });
    }
    case 'putDocument':
      return JSON.stringify({ sha256: body.sha256 });
    case 'abortPhase':
      return body.hardFail ? '{"hardFail":true}' : '';
    default:
      return '';
  }
}

interface Signed {
  readonly supervisor: string;
  readonly publicKey: string;
  readonly signature: string;
}

const signatureFields = ({ supervisor, publicKey, signature }: Signed): readonly string[] => [
  supervisor,
  publicKey,
  signature,
];

function refText({ loop, g, phase }: PhaseRef): string {
  return `${loop} ${g} ${phase}`;
}

/** The first few, and how many there are. */
function listed(items: readonly string[]): string {
  const shown = items.slice(0, 16).join(' ');
  return items.length > 16 ? `${shown} and ${items.length - 16} more` : shown;
}

/** Part of the language since ES2024, and of every engine that runs this; the library types configured here are older. */
interface WellFormedText {
  toWellFormed(): string;
}

function bounded(text: string): string {
  const cut = text.length <= AUDIT_SUBJECT_LENGTH_MAX ? text : text.slice(0, AUDIT_SUBJECT_LENGTH_MAX);
  return (cut as unknown as WellFormedText).toWellFormed();
}
