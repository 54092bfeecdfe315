// SPDX-License-Identifier: GPL-2.0-or-later

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Base64;

/**
 * As the engine's backend checks a custom property, in a thread with a stack of 256 KiB. Input: lines `regex value`,
 * both as base64 of UTF-8 (`-`: empty); output: a line `true`, `false` or the name of what was thrown for each.
 */
class Regexes {
    public static void main(String[] args) throws Exception {
        var input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        var thread = new Thread(null, () -> input.lines().forEach(Regexes::check), "small", 256 * 1024);
        thread.start();
        thread.join();
    }

    private static void check(String line) {
        String[] words = line.split(" ");
        try {
            System.out.println(decode(words[1]).matches(decode(words[0])));
        } catch (StackOverflowError error) {
            System.out.println(error.getClass().getSimpleName());
        }
    }

    private static String decode(String word) {
        return word.equals("-") ? "" : new String(Base64.getDecoder().decode(word), StandardCharsets.UTF_8);
    }
}
