/** A request of every method that is carried out: base requests, with what makes them fit what came before. */
import { changeTo } from './member-rows.ts';

/** What earlier answers gave. */
interface Now {
  readonly session: bigint;
  /** Of the newest attempt. */
  readonly token: bigint;
  readonly issue: bigint;
}

export const IN_ORDER: readonly (readonly [string, (now: Now) => Record<string, unknown>])[] = [
  ['RegisterPlan', () => ({})],
  ['ListPlans', () => ({})],
  ['CreateLoop', () => ({ loop: 'in-order' })],
  ['ListLoops', () => ({})],
  ['GetLoop', () => ({ loop: 'in-order' })],
  ['BeginPhase', () => ({ 'ref.loop': 'in-order', supersede_attempt: 0n })],
  ['ReportProgress', ({ token }) => ({ 'ref.loop': 'in-order', fencing_token: token })],
  ['PutDocument', ({ token }) => ({ 'ref.loop': 'in-order', fencing_token: token, loop: 'in-order' })],
  ['DeleteDocument', ({ token }) => ({ 'ref.loop': 'in-order', fencing_token: token, loop: 'in-order' })],
  ['RecordIntent', ({ token }) => ({ 'ref.loop': 'in-order', fencing_token: token })],
  ['ConfirmEffect', ({ token }) => ({ 'ref.loop': 'in-order', fencing_token: token })],
  [
    'RecordIntent',
    ({ token }) => ({ 'ref.loop': 'in-order', fencing_token: token, key: 'k2', resource: '', operation: '' }),
  ],
  ['WithdrawEffect', ({ token }) => ({ 'ref.loop': 'in-order', fencing_token: token, key: 'k2' })],
  ['GetDocument', () => ({})],
  ['ListDocuments', () => ({})],
  ['ListDocumentVersions', () => ({})],
  ['DecommissionNode', () => ({})],
  ['ListEffects', () => ({ 'ref.loop': 'in-order' })],
  ['GetPhaseRun', () => ({ 'ref.loop': 'in-order' })],
  ['ListSubSteps', () => ({ 'ref.loop': 'in-order' })],
  ['Heartbeat', () => ({})],
  ['ReportFinished', ({ token }) => ({ 'ref.loop': 'in-order', fencing_token: token })],
  ['GetDetection', () => ({ loop: 'in-order' })],
  ['CommitPhase', ({ token }) => ({ 'ref.loop': 'in-order', fencing_token: token })],
  ['BeginPhase', () => ({ 'ref.loop': 'in-order', 'ref.phase': 'BLUEPRINT', supersede_attempt: 0n })],
  ['AbortPhase', ({ token }) => ({ 'ref.loop': 'in-order', 'ref.phase': 'BLUEPRINT', fencing_token: token })],
  ['BeginPhase', () => ({ 'ref.loop': 'in-order', 'ref.phase': 'BLUEPRINT', supersede_attempt: 0n })],
  ['InterruptPhase', () => ({ 'ref.loop': 'in-order', 'ref.phase': 'BLUEPRINT', attempt: 2n })],
  ['ListRecoveries', () => ({})],
  ['GetRecovery', () => ({ 'ref.loop': 'in-order', 'ref.phase': 'BLUEPRINT' })],
  ['ChangeSupervisors', () => ({})],
  ['ListSupervisors', () => ({})],
  ['Override', () => ({})],
  ['ExportAudit', () => ({})],
  ['GetAvailability', () => ({})],
  ['PermitAsync', () => ({})],
  ['ListIssues', () => ({})],
  ['GetIssue', ({ issue }) => ({ issue })],
  ['AcknowledgeIssue', ({ issue }) => ({ issue })],
  ['ListAlerts', () => ({})],
  ['ListAgents', () => ({})],
  ['Farewell', () => ({})],
  ['GetPolicy', () => ({})],
  ['SetPolicy', () => ({})],
  ['OpenSession', () => ({ 'header.session_id': 2n ** 64n - 1n, 'header.acked_through': 2n ** 64n - 1n })],
  ['KeepAlive', ({ session }) => ({ 'header.session_id': session, 'header.sequence': 1n, 'header.acked_through': 0n })],
  [
    'CloseSession',
    ({ session }) => ({ 'header.session_id': session, 'header.sequence': 2n, 'header.acked_through': 1n }),
  ],
  ['Watch', () => ({ from_revision: 2n })],
  ['GetStatus', () => ({})],
  ['ListMembers', () => ({})],
  ['SetFeatureLevel', () => ({})],
  ['ChangeMembers', () => ({ changes: [changeTo('remove', 'b')] })],
  ['TransferLeadership', () => ({})],
  ['Backup', () => ({})],
  ['GetFeatureLevel', () => ({})],
];
