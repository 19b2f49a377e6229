"""Sentences written by hand in each of the 23 languages: short (two to four words), a sentence, an answer of two.

They are nobody's translations word for word; each says something that an assistant might.
"""

SHORT: dict[str, tuple[str, ...]] = {
    "ar": ("شكرا جزيلا لك", "لا أعرف الجواب", "الجواب هو الثلاثاء"),
    "cs": ("Děkuji za otázku.", "To nevím jistě.", "Odpověď je úterý."),
    "de": ("Das weiß ich nicht.", "Vielen Dank dafür!", "Die Antwort ist Dienstag."),
    "el": ("Δεν το ξέρω.", "Ευχαριστώ πολύ!", "Η απάντηση είναι Τρίτη."),
    "en": ("I do not know.", "Thank you very much!", "The answer is Tuesday."),
    "es": ("No lo sé todavía.", "¡Muchas gracias por todo!", "La respuesta es martes."),
    "fa": ("نمی‌دانم چه بگویم", "خیلی ممنونم از شما", "پاسخ سه‌شنبه است"),
    "fr": ("Je ne sais pas.", "Merci beaucoup à vous !", "La réponse est mardi."),
    "he": ("אני לא יודע.", "תודה רבה לך!", "התשובה היא יום שלישי."),
    "hi": ("मुझे नहीं पता।", "आपका बहुत धन्यवाद!", "उत्तर मंगलवार है।"),
    "id": ("Saya tidak tahu.", "Terima kasih banyak!", "Jawabannya adalah hari Selasa."),
    "it": ("Non lo so ancora.", "Grazie mille a tutti!", "La risposta è martedì."),
    "ja": ("わかりません。", "どうもありがとう！", "答えは火曜日です。"),
    "ko": ("잘 모르겠습니다.", "정말 고맙습니다!", "정답은 화요일입니다."),
    "nl": ("Dat weet ik niet.", "Heel erg bedankt!", "Het antwoord is dinsdag."),
    "pl": ("Nie wiem tego.", "Dziękuję bardzo!", "Odpowiedź to wtorek."),
    "pt": ("Não sei dizer.", "Muito obrigado a você!", "A resposta é terça-feira."),
    "ro": ("Nu știu sigur.", "Vă mulțumesc foarte mult!", "Răspunsul este marți."),
    "ru": ("Я этого не знаю.", "Большое вам спасибо!", "Правильный ответ — вторник."),
    "tr": ("Bunu bilmiyorum.", "Çok teşekkür ederim!", "Cevap salı günüdür."),
    "uk": ("Я цього не знаю.", "Щиро дякую вам!", "Правильна відповідь — вівторок."),
    "vi": ("Tôi không biết.", "Cảm ơn bạn rất nhiều!", "Câu trả lời là thứ Ba."),
    "zh": ("我不知道。", "非常感谢你！", "答案是星期二。"),
}

SENTENCES: dict[str, tuple[str, ...]] = {
    "ar": (
        "يمكنك أن تخبز الخبز في المنزل إذا كان لديك دقيق وماء وملح.",
        "يبدأ القطار رحلته في الصباح الباكر ويصل قبل الظهر.",
    ),
    "cs": (
        "Chléb si můžete upéct doma, stačí mouka, voda, sůl a trochu času.",
        "Vlak odjíždí brzy ráno a do města přijede před polednem.",
    ),
    "de": (
        "Brot lässt sich zu Hause backen, wenn man Mehl, Wasser und etwas Geduld hat.",
        "Der Zug fährt früh am Morgen ab und kommt vor dem Mittag in der Stadt an.",
    ),
    "el": (
        "Μπορείτε να ψήσετε ψωμί στο σπίτι με αλεύρι, νερό και λίγη υπομονή.",
        "Το τρένο φεύγει νωρίς το πρωί και φτάνει πριν από το μεσημέρι.",
    ),
    "en": (
        "You can bake bread at home if you have flour, water, salt and some patience.",
        "The train leaves early in the morning and reaches the city before noon.",
    ),
    "es": (
        "Se puede hornear pan en casa si se tiene harina, agua, sal y algo de paciencia.",
        "El tren sale temprano por la mañana y llega a la ciudad antes del mediodía.",
    ),
    "fa": (
        "اگر آرد و آب و کمی حوصله داشته باشید می‌توانید در خانه نان بپزید.",
        "قطار صبح زود حرکت می‌کند و پیش از ظهر به شهر می‌رسد.",
    ),
    "fr": (
        "On peut faire du pain chez soi avec de la farine, de l'eau et un peu de patience.",
        "Le train part tôt le matin et arrive en ville avant midi.",
    ),
    "he": ("אפשר לאפות לחם בבית אם יש קמח, מים, מלח וקצת סבלנות.", "הרכבת יוצאת מוקדם בבוקר ומגיעה לעיר לפני הצהריים."),
    "hi": (
        "अगर आपके पास आटा, पानी और थोड़ा धैर्य हो तो घर पर रोटी बना सकते हैं।",
        "रेलगाड़ी सुबह जल्दी निकलती है और दोपहर से पहले शहर पहुँच जाती है।",
    ),
    "id": (
        "Anda bisa membuat roti di rumah kalau punya tepung, air, garam dan sedikit kesabaran.",
        "Kereta itu berangkat pagi-pagi sekali dan tiba di kota sebelum tengah hari.",
    ),
    "it": (
        "Si può fare il pane in casa con farina, acqua, sale e un po' di pazienza.",
        "Il treno parte la mattina presto e arriva in città prima di mezzogiorno.",
    ),
    "ja": ("小麦粉と水と塩があれば、家でもパンを焼くことができます。", "列車は朝早く出発して、昼前には町に着きます。"),
    "ko": (
        "밀가루와 물과 소금만 있으면 집에서도 빵을 구울 수 있습니다.",
        "기차는 아침 일찍 출발해서 정오 전에 도시에 도착합니다.",
    ),
    "nl": (
        "Je kunt thuis brood bakken als je meel, water, zout en wat geduld hebt.",
        "De trein vertrekt vroeg in de ochtend en komt voor de middag in de stad aan.",
    ),
    "pl": (
        "Chleb można upiec w domu, jeśli ma się mąkę, wodę, sól i trochę cierpliwości.",
        "Pociąg odjeżdża wcześnie rano i dociera do miasta przed południem.",
    ),
    "pt": (
        "Você pode fazer pão em casa se tiver farinha, água, sal e um pouco de paciência.",
        "O trem sai de manhã cedo e chega à cidade antes do meio-dia.",
    ),
    "ro": (
        "Puteți coace pâine acasă dacă aveți făină, apă, sare și puțină răbdare.",
        "Trenul pleacă dimineața devreme și ajunge în oraș înainte de prânz.",
    ),
    "ru": (
        "Хлеб можно испечь дома, если есть мука, вода, соль и немного терпения.",
        "Поезд отправляется рано утром и прибывает в город до полудня.",
    ),
    "tr": (
        "Un, su, tuz ve biraz sabrınız varsa evde ekmek pişirebilirsiniz.",
        "Tren sabah erkenden kalkar ve öğleden önce şehre varır.",
    ),
    "uk": (
        "Хліб можна спекти вдома, якщо є борошно, вода, сіль і трохи терпіння.",
        "Потяг вирушає рано-вранці й прибуває до міста ще до полудня.",
    ),
    "vi": (
        "Bạn có thể nướng bánh mì ở nhà nếu có bột, nước, muối và một chút kiên nhẫn.",
        "Chuyến tàu khởi hành từ sáng sớm và đến thành phố trước buổi trưa.",
    ),
    "zh": ("只要有面粉、水、盐和一点耐心，在家里也可以烤面包。", "火车一大早就出发，中午以前到达城里。"),
}
