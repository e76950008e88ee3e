import fc from 'fast-check';
import protobuf from 'protobufjs';
import { expect, test } from 'vitest';
import { ProtoWriter } from './proto-writer.ts';

const Message = protobuf
  .parse(
    'syntax = "proto2"; message M { repeated uint64 n = 1; optional string s = 300; optional bytes b = 3; optional M m = 16; }',
  )
  .root.lookupType('M');

function read(writer: ProtoWriter) {
  return Message.toObject(Message.decode(writer.take()), { longs: String, bytes: Array });
}

test('any number, text and bytes are read back as written', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.bigInt(0n, 2n ** 64n - 1n), fc.maxSafeNat())),
      fc.string({ unit: 'binary', maxLength: 100 }),
      fc.uint8Array({ maxLength: 100 }),
      (numbers, text, bytes) => {
        const writer = new ProtoWriter();
        for (const number of numbers) writer.uint(1, number);
        writer.string(300, text);
        writer.bytes(3, bytes);
        const { n = [], s, b } = read(writer);
        expect({ n, s, b }).toEqual({ n: numbers.map(String), s: text, b: [...bytes] });
      },
    ),
  );
});

test('messages nest, and grow beyond the first buffer', () => {
  const writer = new ProtoWriter();
  const long = 'x'.repeat(100_000);
  writer.begin(16);
  writer.uint(1, 7);
  writer.begin(16);
  writer.string(300, long);
  writer.end();
  writer.end();
  writer.uint(1, 8);
  expect(read(writer)).toEqual({ n: ['8'], m: { n: ['7'], m: { s: long } } });
});

test('what was taken is not written again', () => {
  const writer = new ProtoWriter();
  writer.uint(1, 1);
  expect(writer.take().length).toBe(2);
  expect(writer.length).toBe(0);
});

test('a message that was not ended fails an assertion', () => {
  const writer = new ProtoWriter();
  writer.begin(16);
  expect(() => writer.take()).toThrow(/every message has ended/);
});
