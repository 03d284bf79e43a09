/** The effective configuration as YAML, with the source of each value as a comment. */
import { Document, isCollection, isMap, isScalar } from 'yaml';
import type { ConfigSource, LoadedConfig } from './config.ts';

function describe(source: ConfigSource): string {
  if (source.from === 'default') return source.where === '' ? ' default' : ` default: ${source.where}`;
  return ` ${source.from} ${source.where}`;
}

export function printConfig(loaded: LoadedConfig): string {
  const document = new Document(loaded.config);
  for (const [path, source] of loaded.sources) {
    const keys = path.split('.');
    const node: unknown = document.getIn(keys, true);
    if (isScalar(node)) node.comment = describe(source);
    if (isCollection(node)) {
      const parent: unknown = keys.length === 1 ? document.contents : document.getIn(keys.slice(0, -1), true);
      const pair = isMap(parent) ? parent.items.find((p) => isScalar(p.key) && p.key.value === keys.at(-1)) : undefined;
      if (pair !== undefined && isScalar(pair.key)) pair.key.commentBefore = describe(source);
    }
  }
  return document.toString({ lineWidth: 0 });
}
