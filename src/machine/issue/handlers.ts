/** Handlers of the issue commands. */
import { DETAIL_LENGTH_MAX, NOTE_LENGTH_MAX } from '../../types/limits.ts';
import { err, ok } from '../../types/result.ts';
import { type ApplyContext, type BodyOf, type Handler, type Outcome, reject } from '../context.ts';
import { padded } from '../keys.ts';
import { checkFeatureLevel, useFeatureLevel } from '../member/feature.ts';
import { checkInteger, checkText, firstOf } from '../validate.ts';

const LEVEL = 3;

export const issueHandlers: { readonly [K in 'acknowledgeIssue' | 'settleAlert']: Handler<K> } = {
  acknowledgeIssue,
  settleAlert,
};

/** Somebody has seen it. A closed issue stays closed; a note takes the place of the one before, '' leaves that. */
function acknowledgeIssue(context: ApplyContext, body: BodyOf<'acknowledgeIssue'>): Outcome {
  const { state } = context;
  const bad = firstOf(
    checkFeatureLevel(state, LEVEL),
    checkInteger('issue', body.issue, 1, Number.MAX_SAFE_INTEGER),
    checkText('note', body.note, 0, NOTE_LENGTH_MAX),
  );
  if (bad !== null) return err(bad);
  const { issue } = state.tables.domain;
  const row = issue.get(padded(body.issue));
  if (row === null) {
    return reject('ISSUE_NOT_FOUND', `List the issues: there is no issue ${body.issue}, or it is not kept any more.`, {
      issue: body.issue,
    });
  }
  useFeatureLevel(state, LEVEL);
  issue.put(padded(body.issue), {
    ...row,
    state: row.state === 'OPEN' ? 'ACKNOWLEDGED' : row.state,
    note: body.note === '' ? row.note : body.note,
    changedAtMs: context.timeMs,
    changedRevision: context.revision,
  });
  return ok({ kind: 'issueAcknowledged' });
}

/** What came of an alert. One that is settled stays as it is: two leaders may have sent it. */
function settleAlert(context: ApplyContext, body: BodyOf<'settleAlert'>): Outcome {
  const { state } = context;
  const bad = firstOf(
    checkFeatureLevel(state, LEVEL),
    checkInteger('alert', body.alert, 1, Number.MAX_SAFE_INTEGER),
    checkText('error', body.error, 0, DETAIL_LENGTH_MAX),
  );
  if (bad !== null) return err(bad);
  const { alert, alertPending } = state.tables.domain;
  const key = padded(body.alert);
  const row = alert.get(key);
  if (row === null) {
    return reject('ISSUE_NOT_FOUND', `Go on: there is no alert ${body.alert}, or it is not kept any more.`, {
      alert: body.alert,
    });
  }
  if (row.state === 'PENDING') {
    useFeatureLevel(state, LEVEL);
    alert.put(key, { ...row, state: body.delivered ? 'DELIVERED' : 'GIVEN_UP', lastError: body.error });
    alertPending.delete(key);
  }
  return ok({ kind: 'alertSettled' });
}
