/** Just enough syntax for the tidy rules: a walk over the tree, the imports of a file, lines of an offset. */
import { parseAst } from 'vitest/node';
import type { SourceFile } from './files.ts';

/** A node of the ESTree (with TypeScript's nodes in it). */
export interface SyntaxNode {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [key: string]: unknown;
}

export interface Import {
  /** As written: './a.ts', 'pino', 'node:fs'. */
  readonly specifier: string;
  /** Nothing of it is left at run time. */
  readonly typeOnly: boolean;
  readonly line: number;
}

/** Called for each node with its ancestors, outermost first. */
export type Visit = (node: SyntaxNode, ancestors: readonly SyntaxNode[]) => void;

const trees = new Map<string, SyntaxNode>();

/** The syntax tree of a TypeScript file; the same text is parsed once. */
export function parse(file: SourceFile): SyntaxNode {
  let tree = trees.get(file.text);
  if (tree === undefined) {
    tree = parseAst(file.text, { lang: 'ts' }, file.path) as unknown as SyntaxNode;
    trees.set(file.text, tree);
  }
  return tree;
}

export function isNode(value: unknown): value is SyntaxNode {
  return typeof value === 'object' && value !== null && typeof (value as { type?: unknown }).type === 'string';
}

/** Visits every node, parents first. */
export function walk(root: SyntaxNode, visit: Visit): void {
  const ancestors: SyntaxNode[] = [];
  const step = (node: SyntaxNode): void => {
    visit(node, ancestors);
    ancestors.push(node);
    for (const value of Object.values(node)) {
      if (Array.isArray(value)) {
        for (const item of value) if (isNode(item)) step(item);
      } else if (isNode(value)) {
        step(value);
      }
    }
    ancestors.pop();
  };
  step(root);
}

/** Line of an offset, from 1. */
export function lineOf(text: string, offset: number): number {
  let line = 1;
  for (let at = text.indexOf('\n'); at !== -1 && at < offset; at = text.indexOf('\n', at + 1)) line++;
  return line;
}

/** The name of an identifier node, or undefined. */
export function nameOf(node: unknown): string | undefined {
  return isNode(node) && node.type === 'Identifier' ? String(node.name) : undefined;
}

function literal(node: unknown): string | undefined {
  return isNode(node) && node.type === 'Literal' && typeof node.value === 'string' ? node.value : undefined;
}

function isTypeOnly(node: SyntaxNode): boolean {
  if (node.type === 'TSImportType' || node.importKind === 'type' || node.exportKind === 'type') return true;
  const specifiers = Array.isArray(node.specifiers) ? node.specifiers.filter(isNode) : [];
  return specifiers.length > 0 && specifiers.every((one) => one.importKind === 'type' || one.exportKind === 'type');
}

/** Every import, re-export, `import()` and `import('x').Type` of a file, in the order of the text. */
export function importsOf(file: SourceFile): readonly Import[] {
  const found: Import[] = [];
  walk(parse(file), (node) => {
    if (
      !/^(?:ImportDeclaration|ExportNamedDeclaration|ExportAllDeclaration|ImportExpression|TSImportType)$/.test(
        node.type,
      )
    )
      return;
    const specifier = literal(node.source);
    if (specifier === undefined) return;
    found.push({ specifier, typeOnly: isTypeOnly(node), line: lineOf(file.text, node.start) });
  });
  return found;
}
