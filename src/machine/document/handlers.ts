/** Handlers of the document commands. */
import type { Handler } from '../context.ts';
import { decommissionNode } from './decommission.ts';
import { deleteDocument, putDocument } from './write.ts';

export const documentHandlers: { readonly [K in 'putDocument' | 'deleteDocument' | 'decommissionNode']: Handler<K> } = {
  putDocument,
  deleteDocument,
  decommissionNode,
};
