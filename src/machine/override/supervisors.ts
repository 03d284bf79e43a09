/** Changes of the roster (O2): signed like an override by those who are on it, but for the first ones. */
import { clusterTimeMs } from '../../types/ids.ts';
import { SUPERVISORS_MAX } from '../../types/limits.ts';
import { err, ok } from '../../types/result.ts';
import { type ApplyContext, type BodyOf, type Outcome, rejection } from '../context.ts';
import { KEY_END } from '../keys.ts';
import { checkFeatureLevel, useFeatureLevel } from '../member/feature.ts';
import type { Rejection } from '../types.ts';
import { checkInteger, checkName, firstOf, invalid } from '../validate.ts';
import { checkSignatures, PUBLIC_KEY } from './form.ts';
import { checkOnce, checkOnceForm, useNonce } from './nonce.ts';
import { checkSigners, ROSTER_KEY, signaturesNeeded, threshold } from './roster.ts';
import type { SupervisorChange, SupervisorRow } from './types.ts';

const LEVEL = 3;

export function changeSupervisors(context: ApplyContext, body: BodyOf<'changeSupervisors'>): Outcome {
  const { state } = context;
  const { supervisor, roster } = state.tables.domain;
  const malformed = firstOf(
    checkFeatureLevel(state, LEVEL),
    checkChanges(body.changes, body.signaturesNeeded === null ? 1 : 0),
    body.signaturesNeeded === null ? null : checkInteger('signaturesNeeded', body.signaturesNeeded, 0, SUPERVISORS_MAX),
    checkOnceForm(body),
    checkSignatures(body.signatures, 0),
  );
  if (malformed !== null) return err(malformed);
  const refused = firstOf(
    checkOnce(context, body),
    supervisor.size === 0 && body.signatures.length === 0 ? null : checkSigners(state, body.signatures),
  );
  if (refused !== null) return err(refused);
  const before = new Map(supervisor.range('', KEY_END, supervisor.size));
  const after = carryOut(before, body.changes, context);
  if (!(after instanceof Map)) return err(after);
  const needed = body.signaturesNeeded ?? signaturesNeeded(state.tables.domain);
  const unsound = checkRoster(after) ?? checkNeeded(body.signaturesNeeded ?? 0, after.size);
  if (unsound !== null) return err(unsound);

  useFeatureLevel(state, LEVEL);
  useNonce(state, { expiresAtMs: clusterTimeMs(body.expiresAtMs), nonce: body.nonce });
  for (const { name } of body.changes) {
    const row = after.get(name);
    if (row === undefined) supervisor.delete(name);
    else if (row !== before.get(name)) supervisor.put(name, row);
  }
  if (body.signaturesNeeded !== null)
    roster.put(ROSTER_KEY, { signaturesNeeded: needed, changedRevision: context.revision });
  return ok({ kind: 'supervisorsChanged', supervisors: after.size, threshold: threshold(after.size, needed) });
}

/** Later the roster may become smaller than what was set: then it takes all of those who are left (SV2). */
function checkNeeded(wanted: number, supervisors: number): Rejection | null {
  if (wanted <= supervisors) return null;
  return invalid('signaturesNeeded', `Ask for ${supervisors} signatures at most: so many are on the roster then.`);
}

function checkChanges(changes: readonly SupervisorChange[], min: number): Rejection | null {
  const count = checkInteger('changes', changes.length, min, SUPERVISORS_MAX);
  if (count !== null) return count;
  const named = new Set<string>();
  for (const { name, publicKey } of changes) {
    const bad = firstOf(
      checkName('changes.name', name),
      publicKey === '' || PUBLIC_KEY.test(publicKey)
        ? null
        : invalid(
            'changes.publicKey',
            'Give changes.publicKey as 64 lower-case hexadecimal digits, or nothing to remove.',
          ),
      named.has(name) ? invalid('changes.name', `Name ${name} once: it is changed twice.`) : null,
    );
    if (bad !== null) return bad;
    named.add(name);
  }
  return null;
}

/** The roster as the changes leave it; nothing of it is in the state yet. */
function carryOut(
  before: ReadonlyMap<string, SupervisorRow>,
  changes: readonly SupervisorChange[],
  { revision: addedRevision }: ApplyContext,
): Map<string, SupervisorRow> | Rejection {
  const rows = new Map(before);
  for (const { name, publicKey } of changes) {
    if (publicKey !== '') {
      if (rows.get(name)?.publicKey !== publicKey) rows.set(name, { name, publicKey, addedRevision });
    } else if (!rows.delete(name)) {
      return rejection('SUPERVISOR_UNKNOWN', `Leave ${name} out: no such supervisor is on the roster.`, {
        supervisor: name,
      });
    }
  }
  return rows;
}

/** SV1, SV3. */
function checkRoster(rows: ReadonlyMap<string, SupervisorRow>): Rejection | null {
  if (rows.size === 0) {
    return invalid('changes', 'Add another supervisor in the same change: the last one cannot be removed.');
  }
  if (rows.size > SUPERVISORS_MAX) {
    return rejection('LIMIT_EXCEEDED', `Remove supervisors first: there may be ${SUPERVISORS_MAX}.`, {
      limit: SUPERVISORS_MAX,
    });
  }
  const owners = new Map<string, string>();
  for (const { name, publicKey } of rows.values()) {
    const owner = owners.get(publicKey);
    if (owner !== undefined) {
      return invalid('changes.publicKey', `Give ${name} a key of its own: ${owner} has this one.`);
    }
    owners.set(publicKey, name);
  }
  return null;
}
