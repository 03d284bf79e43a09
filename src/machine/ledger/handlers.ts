/** Handlers of the ledger commands. */
import { unreachable } from '../../types/assert.ts';
import type { Handler } from '../context.ts';

const notBuilt = (): never => unreachable(undefined as never, 'not built yet');

export const ledgerHandlers: { readonly [K in 'recordIntent' | 'confirmEffect' | 'withdrawEffect']: Handler<K> } = {
  recordIntent: notBuilt,
  confirmEffect: notBuilt,
  withdrawEffect: notBuilt,
};
