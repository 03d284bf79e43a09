/** Handlers of the ledger commands. */
import type { Handler } from '../context.ts';
import { recordIntent } from './intent.ts';
import { confirmEffect, withdrawEffect } from './settle.ts';

export const ledgerHandlers: { readonly [K in 'recordIntent' | 'confirmEffect' | 'withdrawEffect']: Handler<K> } = {
  recordIntent,
  confirmEffect,
  withdrawEffect,
};
