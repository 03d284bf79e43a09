/** Handlers of the document commands. */
import { unreachable } from '../../types/assert.ts';
import type { Handler } from '../context.ts';

const notBuilt = (): never => unreachable(undefined as never, 'not built yet');

export const documentHandlers: { readonly [K in 'putDocument' | 'deleteDocument' | 'decommissionNode']: Handler<K> } = {
  putDocument: notBuilt,
  deleteDocument: notBuilt,
  decommissionNode: notBuilt,
};
