import java.time.DateTimeException;
import java.time.Instant;
import java.time.ZoneId;
import java.time.format.DateTimeFormatter;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.StringJoiner;

/**
 * Prints java_time_patterns.json: [pattern, epoch ms, zone, text], where text is null for a pattern that
 * DateTimeFormatter refuses. Made with Java 17: {@code java JavaTimePatterns.java > java_time_patterns.json}.
 */
class JavaTimePatterns {
    static final String LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

    static final String[] ZONES = {
        "UTC", "America/New_York", "Asia/Katmandu", "America/St_Johns", "Australia/Lord_Howe", "Europe/London",
        "Pacific/Honolulu"
    };

    static final String[] INSTANTS = {
        "2026-01-01T00:00:00.999Z", "2025-12-28T03:59:59Z", "2024-02-29T12:00:00Z", "2016-12-31T23:59:59Z",
        "2021-07-04T17:05:09.123Z", "2023-10-01T06:00:00Z", "2020-11-15T20:30:07Z", "2022-05-03T21:00:00Z",
        "2013-01-01T00:00:00Z", "2029-09-30T13:45:01Z", "2001-04-09T01:02:03Z",
        "2021-12-28T10:00:00Z"
    };

    static final String[] PATTERNS = {
        "yyyy/MM/dd/HH/", "yyyy-MM-dd'T'HH:mm:ss", "yyyy'/'MM'/'dd", "'year='yyyy'/month='MM", "yyyy''MM", "''",
        "''''", "'it''s' yyyy", "'a'''yyyy", "yyyy-DDD", "YYYY-'W'ww-e", "EEEE, d MMMM uuuu 'at' h:mm a", "hh:mm:ss a",
        "ppH", "pppppppyyyy", "ppd/ppM", "p", "pp", "pp/H", "pH", "pHH", "pyyyy", "ppp'x'", "[yyyy]", "[yyyy/[MM]]",
        "[yyyy", "yyyy]", "[[yyyy]", "[]", "yyyy{MM}", "{", "}", "#", "yyyy#MM", "'", "'open", "yyyy'", "'''",
        "'a''", "!yyyy", "yyyy MM  dd", "yyyy\u00e9MM", "y=yyyy", "'y'=yyyy", "dd.MM.yy", "QQQ-yyyy", "LLL-LLLL",
        "c", "cc", "ccc", "G yyyy", "HH:mm:ss.SSS", "HHmmssSSSSSSSSS", "nnnnnnnnn", "AAAAAAAA", "NNNNNNNNNNNNNNN",
        "xxx'['VV']'", "O-OOOO", "XXX", "yyyyMMdd'T'HHmmssX", "yyyyyyyyyyyyyyyyyyy", "yyyyyyyyyyyyyyyyyyyy",
        "uuuuuuuuuuuuuuuuuuuu", "YYYYYYYYYYYYYYYYYYYY", "DDDD", "yyyy/MM/dd/KK/kk", "FF", "W", "WW", "w", "ww", "www", ""
    };

    static final List<String> rows = new ArrayList<>();

    static void row(String pattern, int at) {
        Instant instant = Instant.parse(INSTANTS[at % INSTANTS.length]);
        String zone = ZONES[at % ZONES.length];
        String text;
        try {
            // An S3 prefix has second precision.
            text = DateTimeFormatter.ofPattern(pattern, Locale.US)
                .format(instant.truncatedTo(ChronoUnit.SECONDS).atZone(ZoneId.of(zone)));
        } catch (IllegalArgumentException | DateTimeException refused) {
            text = null;
        }
        rows.add("[" + quoted(pattern) + ", " + instant.toEpochMilli() + ", " + quoted(zone) + ", " + quoted(text) + "]");
    }

    static String quoted(String text) {
        return text == null ? "null" : '"' + text.replace("\\", "\\\\").replace("\"", "\\\"") + '"';
    }

    public static void main(String[] args) {
        int at = 0;
        for (char letter : LETTERS.toCharArray()) {
            for (int count = 1; count <= 6; count++) {
                for (int i = 0; i < 3; i++) {
                    row(String.valueOf(letter).repeat(count), at++);
                }
            }
        }
        for (String pattern : PATTERNS) {
            for (int i = 0; i < 2; i++) {
                row(pattern, at++);
            }
        }
        row("B-BBBB-BBBBB", 56); // midnight
        row("B-BBBB-BBBBB", 14); // noon
        // Weeks of the United States round the turn of the year, and every instant in every zone.
        for (int i = 0; i < INSTANTS.length * ZONES.length; i++) {
            row("YYYY-'W'ww-e W F c EEE yyyy-MM-dd HH xxx B", i);
        }
        StringJoiner json = new StringJoiner(",\n", "[\n", "\n]");
        rows.forEach(json::add);
        System.out.println(json);
    }
}
