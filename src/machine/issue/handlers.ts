/** Handlers of the issue commands. */
import { unreachable } from '../../types/assert.ts';
import type { Handler } from '../context.ts';

const notBuilt = (): never => unreachable(undefined as never, 'not built yet');

export const issueHandlers: { readonly [K in 'acknowledgeIssue' | 'settleAlert']: Handler<K> } = {
  acknowledgeIssue: notBuilt,
  settleAlert: notBuilt,
};
